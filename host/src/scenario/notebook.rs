//! Notes of one run, as its policy makes it, wherever it runs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::time::Instant;

use super::seen::{Made, Noted};
use crate::session::{Crossing, Ending, Onlooker};

/// Stands beside a run and writes down what it does.
#[derive(Debug)]
pub struct Notebook {
    began: Instant,
    noted: Mutex<Noted>,
}

impl Default for Notebook {
    fn default() -> Self {
        Self { began: Instant::now(), noted: Mutex::default() }
    }
}

impl Notebook {
    /// The policy's calls so far.
    pub fn calls(&self) -> Vec<Made> {
        self.noted().calls.clone()
    }

    /// What it has logged: level and line.
    pub fn logs(&self) -> Vec<(&'static str, String)> {
        self.noted().logs.clone()
    }

    /// What it has used up, and where it trapped.
    pub fn ending(&self) -> Ending {
        self.noted().ending.clone()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Onlooker for Notebook {
    async fn before(&self, call: Crossing, about: String) {
        let at_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.noted().calls.push(Made { call: call.as_str(), about, answer: None, notes: Vec::new(), at_ms });
    }

    async fn after(&self, _: Crossing, answer: String) {
        if let Some(made) = self.noted().calls.last_mut() {
            made.answer = Some(answer);
        }
    }

    fn logged(&self, level: &'static str, line: String) {
        self.noted().logs.push((level, line));
    }

    fn ended(&self, ending: Ending) {
        self.noted().ending = ending;
    }
}
