//! Values that say when they are dropped.

use std::sync::{Arc, Mutex};

pub type Log = Arc<Mutex<Vec<u32>>>;

/// Writes its number down when it is dropped.
pub struct Noted {
    pub id: u32,
    pub log: Log,
    panics: bool,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.log.lock().unwrap().push(self.id);
        assert!(!self.panics, "noted {}", self.id);
    }
}

pub fn noted(id: u32, log: &Log) -> Noted {
    Noted { id, log: Arc::clone(log), panics: false }
}

pub fn panicking(id: u32, log: &Log) -> Noted {
    Noted { id, log: Arc::clone(log), panics: true }
}

pub fn take(log: &Log) -> Vec<u32> {
    std::mem::take(&mut log.lock().unwrap())
}
