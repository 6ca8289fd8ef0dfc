//! What the whole program stands on, passed in from the top.
//!
//! Owns nothing but the bundle: clock, disk, randomness and crash points. A test replaces any of them.

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::disk::{Disk, RealDisk};

/// Places where a test may end the process, or make a step fail.
pub trait Points: Send + Sync + Debug {
    /// Called just before the step that `name` names.
    fn reach(&self, name: &'static str) -> io::Result<()>;
}

/// No point does anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPoints;

impl Points for NoPoints {
    fn reach(&self, _: &'static str) -> io::Result<()> {
        Ok(())
    }
}

/// The bundle.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// Crash points.
    pub points: Arc<dyn Points>,
    random: Arc<Mutex<fastrand::Rng>>,
}

impl Ground {
    /// The real machine.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            disk: Arc::new(RealDisk),
            points: Arc::new(NoPoints),
            random: Arc::new(Mutex::new(fastrand::Rng::new())),
        }
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    /// A generator of its own for one user.
    pub fn random(&self) -> fastrand::Rng {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fork()
    }

    /// `delay` plus up to a quarter of it, so that many waiters do not wake together.
    pub fn jitter(&self, delay: Duration) -> Duration {
        delay.mul_f64(1.0 + self.random().f64() / 4.0)
    }
}
