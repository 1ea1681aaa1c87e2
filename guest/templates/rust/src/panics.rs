//! What is said when the policy panics: a policy has no standard error, so the message goes to the platform's log.

use std::panic;

use crate::wasi::logging::logging::{Level, log};

/// From now on, a panic is logged with its place before it ends the run.
pub fn tell() {
    panic::set_hook(Box::new(|panicked| log(Level::Critical, "panic", &panicked.to_string())));
}
