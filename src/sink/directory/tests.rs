//! Objects in a folder: create-only, compared, and mended after a crash.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::DirectoryConfig;
use crate::archive::Packing;
use crate::digest::sha256;
use crate::ground::{Ground, Points};
use crate::net::NetworkConfig;
use crate::recovery::Recovery;
use crate::sink::{Archive, ArchiveConfig, Object, Put, SinkError};

const KEY: &str = "raw/v1/principal=p/event_type=T/dt=2026-07-15/20260715T104858Z_x_abababab.jsonl";

/// Fails at one point, once.
#[derive(Debug, Default)]
struct Trip(Mutex<Option<&'static str>>);

impl Points for Trip {
    fn reach(&self, name: &'static str) -> io::Result<()> {
        let mut trip = self.0.lock().unwrap();
        if *trip == Some(name) {
            *trip = None;
            return Err(io::Error::other("tripped"));
        }
        Ok(())
    }
}

struct World {
    folder: TempDir,
    archive: Arc<dyn Archive>,
    trip: Arc<Trip>,
}

impl World {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trip = Arc::new(Trip::default());
        let mut ground = Ground::real();
        ground.points = trip.clone();
        let keys = format!("directory = {:?}\n{more}", folder.path().join("archive").to_str().unwrap());
        let config: DirectoryConfig = toml::from_str(&keys).unwrap();
        let archive = config.open(ground, &NetworkConfig::default(), "0badcafe");
        Self { folder, archive, trip }
    }

    fn object(&self, content: &str) -> Object {
        let body = self.folder.path().join("body");
        fs::write(&body, content).unwrap();
        Object {
            key: KEY.into(),
            body,
            length: content.len() as u64,
            sha256: sha256(content.as_bytes()),
            packing: Packing::None,
            verbatim_sha256: sha256(content.as_bytes()),
            verbatim: true,
            evidence: true,
            file_id: "x".into(),
            records: 1,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("archive").join(KEY)
    }

    fn aside(&self) -> PathBuf {
        let name = format!(".{}.0badcafe.tmp", self.path().file_name().unwrap().to_str().unwrap());
        self.path().with_file_name(name)
    }

    async fn put(&self, content: &str) -> Result<Put, SinkError> {
        self.archive.put(&self.object(content)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_written_once_and_never_again() {
    let world = World::new("mode = '0604'");
    assert_eq!(world.put("one\n").await.unwrap(), Put::Stored);
    let before = fs::metadata(world.path()).unwrap();
    assert_eq!(before.permissions().mode() & 0o7777, 0o604);
    assert_eq!(world.put("one\n").await.unwrap(), Put::AlreadyThere);
    let after = fs::metadata(world.path()).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    let folder = fs::metadata(world.path().parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o7777, 0o750);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_is_an_alarm_and_stays_as_it_is() {
    let world = World::new("");
    world.put("one\n").await.unwrap();
    let error = world.put("two\n").await.unwrap_err();
    assert!(
        matches!(&error.recovery, Recovery::Pause { hint } if hint.contains("find out who")),
        "{error:?}"
    );
    assert!(error.message.contains("with other content"), "{error}");
    assert_eq!(fs::read_to_string(world.path()).unwrap(), "one\n");
    fs::write(world.path(), "").unwrap();
    assert!(matches!(world.put("one\n").await.unwrap_err().recovery, Recovery::Pause { .. }));
    let normalized = Object { verbatim: false, ..world.object("by another version\n") };
    assert_eq!(world.archive.put(&normalized).await.unwrap(), Put::AlreadyThere);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_version_compressed_otherwise_is_equal() {
    let world = World::new("");
    let content = "one\n".repeat(1000);
    let packed = |level| zstd::encode_all(content.as_bytes(), level).unwrap();
    let object = |bytes: Vec<u8>| {
        let object = world.object("");
        fs::write(&object.body, &bytes).unwrap();
        Object {
            key: format!("{KEY}.zst"),
            length: bytes.len() as u64,
            sha256: sha256(&bytes),
            packing: Packing::Zstd,
            verbatim_sha256: sha256(content.as_bytes()),
            ..object
        }
    };
    let (one, other) = (packed(1), packed(-50));
    assert_ne!(one, other);
    assert_eq!(world.archive.put(&object(one)).await.unwrap(), Put::Stored);
    assert_eq!(world.archive.put(&object(other)).await.unwrap(), Put::AlreadyThere);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_leaves_no_half_object() {
    for point in ["archive synced", "archive named", "archive name synced"] {
        let world = World::new("");
        *world.trip.0.lock().unwrap() = Some(point);
        world.put("one\n").await.unwrap_err();
        assert_eq!(world.path().try_exists().unwrap(), point == "archive name synced", "{point}");
        // A crash, other than an error, leaves the file that was being written.
        fs::write(world.aside(), "half").unwrap();
        world.put("one\n").await.unwrap();
        assert_eq!(fs::read_to_string(world.path()).unwrap(), "one\n");
        assert!(!world.aside().try_exists().unwrap(), "{point}");
        assert_eq!(fs::read_dir(world.path().parent().unwrap()).unwrap().count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_changed_on_the_way_is_not_archived() {
    let world = World::new("");
    let object = world.object("one\n");
    fs::write(&object.body, "onE\n").unwrap();
    world.archive.put(&object).await.unwrap_err();
    assert!(!world.path().try_exists().unwrap() && !world.aside().try_exists().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_taken_away_is_made_again() {
    let world = World::new("");
    world.put("one\n").await.unwrap();
    fs::remove_dir_all(world.folder.path().join("archive")).unwrap();
    assert_eq!(world.put("one\n").await.unwrap(), Put::Stored);
    fs::remove_dir_all(world.folder.path().join("archive")).unwrap();
    fs::write(world.folder.path().join("archive"), "").unwrap();
    assert!(matches!(world.put("one\n").await.unwrap_err().recovery, Recovery::Pause { .. }));
}
