//! Whatever happens in whatever order, every record is there once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::world::{Tear, World};
use crate::recovery::Recovery;
use crate::sink::Sink;

#[derive(Clone, Debug)]
enum Action {
    Deliver(usize),
    Commit,
    /// Confirmed, and then a crash before the commit.
    ConfirmAndCrash,
    Crash,
    PowerCut(Tear, u16),
    OtherFormat,
    FullDisk(usize, u64),
    SyncFails,
    /// A crash just before the step with this number.
    Point(u64),
    Later(u16),
}

fn action() -> impl Strategy<Value = Action> {
    let tear = prop_oneof![Just(Tear::Cut), Just(Tear::Zeros), Just(Tear::Hole), Just(Tear::Garbage)];
    prop_oneof![
        4 => (1_usize..6).prop_map(Action::Deliver),
        3 => Just(Action::Commit),
        1 => Just(Action::ConfirmAndCrash),
        2 => Just(Action::Crash),
        2 => (tear, any::<u16>()).prop_map(|(tear, at)| Action::PowerCut(tear, at)),
        1 => Just(Action::OtherFormat),
        1 => (1_usize..6, 0_u64..150).prop_map(|(count, room)| Action::FullDisk(count, room)),
        1 => Just(Action::SyncFails),
        2 => (0_u64..5).prop_map(Action::Point),
        1 => (0_u16..5000).prop_map(Action::Later),
    ]
}

async fn act(world: &mut World, action: &Action) {
    match *action {
        Action::Deliver(count) => world.deliver(count).await.unwrap(),
        Action::Commit => world.commit().await.unwrap(),
        Action::ConfirmAndCrash => {
            world.sink.confirm().await.unwrap();
            world.restart();
        }
        Action::Crash => world.restart(),
        Action::PowerCut(tear, at) => {
            world.tear(tear, at);
            world.restart();
        }
        Action::OtherFormat => {
            world.format = if world.format == "a" { "b" } else { "a" };
            world.other_format = true;
            world.restart();
        }
        Action::FullDisk(count, room) => {
            world.faults.room.store(room, Ordering::Relaxed);
            if let Err(error) = world.deliver(count).await {
                assert!(matches!(error.recovery, Recovery::Pause { .. }), "{error:?}");
            }
            world.faults.room.store(u64::MAX, Ordering::Relaxed);
        }
        Action::SyncFails => {
            world.faults.sync_fails.store(true, Ordering::Relaxed);
            if let Err(error) = world.commit().await {
                assert_eq!(error.recovery, Recovery::Retry { after: None });
            }
            world.commit().await.unwrap();
            world.faults.sync_fails.store(false, Ordering::Relaxed);
        }
        Action::Point(left) => {
            world.faults.points.store(left, Ordering::Relaxed);
            let outcome = match world.deliver(3).await {
                Ok(()) => world.commit().await,
                error => error,
            };
            if outcome.is_err() {
                world.restart();
            }
            world.faults.points.store(u64::MAX, Ordering::Relaxed);
        }
        Action::Later(seconds) => world.clock.advance(Duration::from_secs(seconds.into())),
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn every_record_is_there_once(actions in prop::collection::vec(action(), 1..30)) {
        runtime().block_on(async {
            let mut world = World::new("rotate_bytes = '300B'");
            for action in &actions {
                act(&mut world, action).await;
            }
            // What was handed over before the last crash is delivered again, and more.
            world.deliver(200).await.unwrap();
            world.commit().await.unwrap();
            world.assert_once();
        });
    }
}
