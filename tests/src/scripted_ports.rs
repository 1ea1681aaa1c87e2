//! The policy's ports, natively: each call answers what a test has scripted, and is noted in a journal.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rtmanager_guest::ports::{Clock, Docker, Lease, Leases, OpLog, Records, Settings, SettingsUnavailable};
use rtmanager_guest::types::{
    Container, ContainerState, Entry, Error, Outcome, Removal, Request, RuntimeRecord, Status, Timestamp, Verdict,
};

/// The container of [`record`].
pub const CONTAINER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// The image of [`record`].
pub const IMAGE: &str = "galaxy/game:1";
/// When the container of [`record`] stopped.
pub const STOPPED_AT: Timestamp = 1_000 * DAY;
/// A day in microseconds.
pub const DAY: Timestamp = 86_400_000_000;

/// Answers as scripted; as made, everything goes well for a stopped runtime.
#[derive(Debug)]
pub struct ScriptedPorts {
    /// None: held by another.
    pub acquire: Result<Option<()>, Error>,
    /// What `get` answers the first time.
    pub loaded: Result<RuntimeRecord, Error>,
    /// What `get` answers from the second time on.
    pub reloaded: Result<RuntimeRecord, Error>,
    /// What `inspect` answers.
    pub inspected: Result<Container, Error>,
    /// What `remove` answers.
    pub removal: Result<Removal, Error>,
    /// What `update_status` answers.
    pub update: Result<(), Error>,
    /// What `append` answers.
    pub append: Result<u64, Error>,
    /// What `release` answers.
    pub release: Result<(), Error>,
    /// What `now` answers.
    pub now: Timestamp,
    /// The binding's settings.
    pub settings: Result<Vec<(String, String)>, SettingsUnavailable>,
    /// What was asked.
    pub seen: Seen,
}

/// What was asked of the ports.
#[derive(Debug, Default)]
pub struct Seen {
    entries: RefCell<Vec<Entry>>,
    loads: Cell<u32>,
    journal: Journal,
}

type Journal = Rc<RefCell<Vec<String>>>;

impl ScriptedPorts {
    /// Everything goes well for this record.
    pub fn with(record: RuntimeRecord) -> Self {
        Self {
            acquire: Ok(Some(())),
            loaded: Ok(record.clone()),
            reloaded: Ok(record),
            inspected: Ok(container(0)),
            removal: Ok(Removal::Removed),
            update: Ok(()),
            append: Ok(1),
            release: Ok(()),
            now: STOPPED_AT + 30 * DAY,
            settings: Ok(Vec::new()),
            seen: Seen::default(),
        }
    }

    /// The calls so far, in order, with what they named.
    pub fn calls(&self) -> Vec<String> {
        self.seen.journal.borrow().clone()
    }

    /// The entries so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.seen.entries.borrow().clone()
    }

    /// Runs the policy's cleanup over these ports.
    pub fn clean_up(&self) -> Verdict {
        rtmanager_guest::cleanup::handle(self, &request("game-1", "admin_rest"))
    }

    fn note(&self, call: String) {
        self.seen.journal.borrow_mut().push(call);
    }
}

/// A request of the REST endpoint or another source.
pub fn request(game_id: &str, op_source: &str) -> Request {
    Request { game_id: game_id.into(), op_source: op_source.into(), source_ref: "request-1".into() }
}

/// A record in the given status, with a container.
pub fn record(status: Status) -> RuntimeRecord {
    RuntimeRecord {
        game_id: "game-1".into(),
        tenant: "tenant-1".into(),
        engine: "engine-1".into(),
        status,
        container_id: Some(CONTAINER.into()),
        image_ref: Some(IMAGE.into()),
        labels: vec![("env".into(), "prod".into())],
        created_at: 1,
        started_at: Some(2),
        stopped_at: Some(STOPPED_AT),
        removed_at: None,
        last_op_at: STOPPED_AT,
        version: 3,
    }
}

/// The record's container, ended with this code.
pub fn container(exit_code: i64) -> Container {
    Container {
        id: CONTAINER.into(),
        state: ContainerState::Exited,
        exit_code: Some(exit_code),
        started_at: Some(2),
        finished_at: Some(STOPPED_AT),
        image: IMAGE.into(),
        labels: Vec::new(),
    }
}

/// A lease that notes its release.
#[derive(Debug)]
pub struct ScriptedLease {
    release: Result<(), Error>,
    journal: Journal,
}

impl Lease for ScriptedLease {
    fn release(&self) -> Result<(), Error> {
        self.journal.borrow_mut().push("release".into());
        self.release.clone()
    }
}

impl Leases for ScriptedPorts {
    type Lease = ScriptedLease;

    fn try_acquire(&self) -> Result<Option<ScriptedLease>, Error> {
        self.note("try_acquire".into());
        let granted = self.acquire.clone()?;
        Ok(granted.map(|()| ScriptedLease { release: self.release.clone(), journal: Rc::clone(&self.seen.journal) }))
    }
}

impl Records for ScriptedPorts {
    fn get(&self) -> Result<RuntimeRecord, Error> {
        self.note("get".into());
        let first = self.seen.loads.replace(self.seen.loads.get() + 1) == 0;
        if first { self.loaded.clone() } else { self.reloaded.clone() }
    }

    fn update_status(
        &self,
        _lease: &ScriptedLease,
        expected: &Status,
        expected_container: Option<&str>,
        new: &Status,
    ) -> Result<(), Error> {
        self.note(format!("update_status {expected:?} {} {new:?}", expected_container.unwrap_or("none")));
        self.update.clone()
    }
}

impl Docker for ScriptedPorts {
    fn inspect(&self, container: &str) -> Result<Container, Error> {
        self.note(format!("inspect {container}"));
        self.inspected.clone()
    }

    fn remove(&self, _lease: &ScriptedLease, container: &str) -> Result<Removal, Error> {
        self.note(format!("remove {container}"));
        self.removal.clone()
    }
}

impl OpLog for ScriptedPorts {
    fn append(&self, entry: &Entry) -> Result<u64, Error> {
        let outcome = if entry.outcome == Outcome::Success { "success" } else { "failure" };
        self.note(format!("append {outcome} {}", entry.error_code.as_deref().unwrap_or("-")));
        self.seen.entries.borrow_mut().push(entry.clone());
        self.append.clone()
    }
}

impl Clock for ScriptedPorts {
    fn now(&self) -> Timestamp {
        self.now
    }
}

impl Settings for ScriptedPorts {
    fn all(&self) -> Result<Vec<(String, String)>, SettingsUnavailable> {
        self.settings.clone()
    }
}
