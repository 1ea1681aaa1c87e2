//! One host of a fleet, and what signals do to it.

use std::path::PathBuf;
use std::process::{Child, Command};

use super::spawn;

pub struct Replica {
    command: Command,
    process: Child,
    socket: PathBuf,
}

impl Replica {
    pub(super) fn start(mut command: Command, socket: PathBuf) -> Self {
        let process = spawn(&mut command);
        Self { command, process, socket }
    }

    /// Where it answers REST.
    pub fn socket(&self) -> &PathBuf {
        &self.socket
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// As by `kill -9`; then the same again, as a supervisor would.
    pub fn kill_and_start_again(&mut self) {
        self.kill();
        self.process = spawn(&mut self.command);
    }

    /// As by `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill().expect("a process of ours");
        self.process.wait().expect("its end");
    }

    pub fn freeze(&self) {
        self.signal("STOP");
        crate::processes::wait_until_stopped(self.process.id());
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Whether it is stopped, as by SIGSTOP.
    pub fn is_frozen(&self) -> bool {
        crate::processes::is_stopped(self.process.id())
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("a process of ours").is_some()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{name} could not be sent");
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // Killed already, or by this; either way it is reaped.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}
