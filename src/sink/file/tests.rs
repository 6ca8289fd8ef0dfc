//! The sink against crashes, full disks, failed syncs and other hands.

mod property;
mod world;

use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use world::{World, batch, record};

use crate::disk::{Disk, RealDisk};
use crate::recovery::Recovery;
use crate::sink::Sink;

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_a_rotation_is_finished() {
    for left in 0..12 {
        let mut world = World::new("rotate_bytes = '100B'");
        world.deliver(2).await.unwrap();
        world.commit().await.unwrap();
        world.faults.points.store(left, Ordering::Relaxed);
        let mut crashed = false;
        for _ in 0..3 {
            if world.deliver(4).await.is_err() || world.commit().await.is_err() {
                crashed = true;
                break;
            }
        }
        assert!(crashed, "there are fewer points than {left}");
        world.restart();
        for count in [1, 5, 2, 9] {
            world.deliver(count).await.unwrap();
        }
        world.commit().await.unwrap();
        world.assert_once();
        assert!(world.rotated().len() >= 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_rename_is_done_before_anything_else() {
    let mut world = World::new("rotate_bytes = '100B'");
    world.deliver(5).await.unwrap();
    world.faults.points.store(1, Ordering::Relaxed);
    assert!(world.commit().await.is_err());
    assert!(world.rotated().is_empty() && world.sink.wants_commit());
    world.faults.points.store(u64::MAX, Ordering::Relaxed);
    world.commit().await.unwrap();
    assert_eq!(world.rotated().len(), 1);
    world.assert_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_file_is_rotated_by_age_and_an_empty_one_never() {
    let mut world = World::new("rotate_interval = '1h'");
    world.commit().await.unwrap();
    world.clock.advance(Duration::from_secs(7200));
    world.commit().await.unwrap();
    assert!(world.rotated().is_empty());
    world.deliver(1).await.unwrap();
    world.clock.advance(Duration::from_secs(3599));
    world.commit().await.unwrap();
    assert!(world.rotated().is_empty());
    world.clock.advance(Duration::from_secs(1));
    world.commit().await.unwrap();
    assert_eq!(world.rotated().len(), 1);
    world.assert_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_the_ledger_does_not_know_is_put_aside() {
    let mut world = World::new("");
    fs::write(world.path(), "from before\n").unwrap();
    world.deliver(2).await.unwrap();
    world.commit().await.unwrap();
    let [name] = world.rotated()[..] else { panic!("not rotated") };
    assert_eq!(fs::read_to_string(world.folder.path().join(name.to_string())).unwrap(), "from before\n");
    assert_eq!(fs::read_to_string(world.path()).unwrap(), record(0, "a") + &record(1, "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_others_are_kept() {
    let mut world = World::new("");
    world.deliver(1).await.unwrap();
    world.commit().await.unwrap();
    let mut other = fs::OpenOptions::new().append(true).open(world.path()).unwrap();
    other.write_all(b"not ours\n").unwrap();
    world.deliver(1).await.unwrap();
    other.write_all(b"nor this").unwrap();
    world.blind(); // half a line of others goes
    world.restart();
    world.deliver(3).await.unwrap();
    world.commit().await.unwrap();
    let own = |number| record(number, "a");
    assert_eq!(world.content(), format!("{}not ours\n{}{}{}", own(0), own(1), own(2), own(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_goes_on_after_the_file_was_taken_away_or_shortened() {
    let mut world = World::new("");
    world.deliver(2).await.unwrap();
    world.commit().await.unwrap();
    let moved = world.folder.path().join("moved");
    fs::rename(world.path(), &moved).unwrap();
    world.deliver(1).await.unwrap();
    world.commit().await.unwrap();
    assert_eq!(fs::read_to_string(world.path()).unwrap(), record(2, "a"));
    assert_eq!(fs::read_to_string(&moved).unwrap(), record(0, "a") + &record(1, "a"));

    world.seen.lock().unwrap().clear();
    fs::write(world.path(), "cu").unwrap();
    world.restart();
    world.deliver(1).await.unwrap();
    world.restart();
    world.deliver(2).await.unwrap();
    world.commit().await.unwrap();
    assert_eq!(
        fs::read_to_string(world.path()).unwrap(),
        format!("cu\n{}{}", record(3, "a"), record(4, "a"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_nothing_is_confirmed_that_does_not_read_back() {
    let mut world = World::new("");
    world.deliver(2).await.unwrap();
    world.commit().await.unwrap();
    let safe = fs::metadata(world.path()).unwrap().len();
    world.deliver(2).await.unwrap();
    world.faults.sync_fails.store(true, Ordering::Relaxed);
    assert_eq!(world.commit().await.unwrap_err().recovery, Recovery::Retry { after: None });
    // The kernel threw the dirty pages away.
    let mut bytes = fs::read(world.path()).unwrap();
    bytes[usize::try_from(safe).unwrap()..].fill(0);
    fs::write(world.path(), bytes).unwrap();
    world.blind();
    assert_eq!(world.commit().await.unwrap_err().recovery, Recovery::Fatal);
    assert_eq!(world.committed.0, 2);
    world.restart();
    world.deliver(5).await.unwrap();
    world.commit().await.unwrap();
    world.assert_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_files_are_compressed_and_the_oldest_go() {
    for (packing, ending) in [("zstd", ".zst"), ("gzip", ".gz")] {
        let mut world =
            World::new(&format!("rotate_bytes = '1B'\ncompression = '{packing}'\nkeep_for = '2h'"));
        world.blind_until = usize::MAX; // files go, and their inodes come back
        let (dir, foreign) =
            (world.folder.path().to_owned(), world.folder.path().join("custodex-mine.jsonl"));
        fs::write(&foreign, "mine").unwrap();
        let left = dir.join(format!("custodex-20200101T000000Z-000001.jsonl{ending}.tmp"));
        fs::write(&left, "half").unwrap();
        world.deliver(3).await.unwrap();
        world.care().await;
        let [name] = world.rotated()[..] else { panic!("{:?}", world.rotated()) };
        let bytes = fs::read(dir.join(name.to_string())).unwrap();
        let mut text = String::new();
        match packing {
            "zstd" => text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap(),
            _ => drop(flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap()),
        }
        assert_eq!(text.as_bytes(), batch(0, 3, "a").bytes);
        assert!(!left.try_exists().unwrap());

        world.clock.advance(Duration::from_secs(3 * 3600));
        world.deliver(1).await.unwrap();
        world.care().await;
        assert_eq!(world.rotated().iter().map(|name| name.number).collect::<Vec<_>>(), [2]);
        assert!(foreign.try_exists().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_files_stay_within_their_room() {
    let mut world = World::new("rotate_bytes = '1B'\nkeep_bytes = '150B'");
    world.blind_until = usize::MAX; // files go, and their inodes come back
    for _ in 0..6 {
        world.deliver(1).await.unwrap();
        world.care().await;
    }
    let entries = RealDisk.list(world.folder.path()).unwrap();
    let numbers: Vec<_> = world.rotated().iter().map(|name| name.number).collect();
    assert!(entries.iter().map(|entry| entry.length).sum::<u64>() <= 150);
    assert!(numbers.ends_with(&[5, 6]) && numbers.len() < 6, "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_a_rotated_file_is_compressed_loses_nothing() {
    let mut world = World::new("rotate_bytes = '1B'\ncompression = 'gzip'");
    world.blind_until = usize::MAX; // files go, and their inodes come back
    world.deliver(1).await.unwrap();
    world.commit().await.unwrap();
    let name = world.rotated()[0];
    // Both names are there: the crash came before the uncompressed file was removed.
    fs::write(world.folder.path().join(format!("{name}.gz")), "stale").unwrap();
    world.restart();
    world.care().await;
    let bytes = fs::read(world.folder.path().join(format!("{name}.gz"))).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!((text, world.rotated().len()), (record(0, "a"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_is_what_was_asked_for() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new("mode = '0664'");
    world.deliver(1).await.unwrap();
    assert_eq!(fs::metadata(world.path()).unwrap().permissions().mode() & 0o7777, 0o664);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_does_not_become_the_rotated_one_that_was_taken_away() {
    let mut world = World::new("rotate_bytes = '100B'");
    world.deliver(5).await.unwrap();
    world.commit().await.unwrap();
    let [name] = world.rotated()[..] else { panic!("not rotated") };
    fs::remove_file(world.folder.path().join(name.to_string())).unwrap();
    world.seen.lock().unwrap().clear();
    world.deliver(1).await.unwrap();
    world.restart();
    world.deliver(2).await.unwrap();
    world.commit().await.unwrap();
    assert_eq!(world.rotated(), []);
    assert_eq!(world.content(), record(5, "a") + &record(6, "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_file_stays_until_the_ledger_knows_that_it_is_one() {
    let mut world = World::new("rotate_bytes = '1B'\nkeep_bytes = '1B'");
    world.blind_until = usize::MAX; // files go, and their inodes come back
    world.deliver(1).await.unwrap();
    world.commit().await.unwrap();
    world.sink.kept().await;
    assert_eq!(world.rotated().len(), 1);
    world.restart();
    world.sink.confirm().await.unwrap();
    world.sink.kept().await;
    assert_eq!(world.rotated().len(), 1, "a crash here needs it");
    world.care().await;
    assert_eq!((world.rotated().len(), world.committed.0), (0, 1));
}
