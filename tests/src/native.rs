//! The default policy's logic, compiled into this process, on a run's session: the same import rules as in
//! the sandbox, without the sandbox. What the sandbox costs is the difference.

use std::cell::RefCell;

use futures_util::FutureExt as _;
use rtmanager::model;
use rtmanager::runtime::{Answer, Execution, Verdict};
use rtmanager::session::{self, Session};
use rtmanager_guest::ports::{Docker, Lease, Leases, OpLog, Records};
use rtmanager_guest::types::{
    Container, ContainerState, Entry, Error, Outcome, Removal, Request, RuntimeRecord, Status,
};

/// Runs the default policy natively. The ports must answer at once, as those in memory do.
pub fn execute(session: Session) -> Execution {
    let request = &session.run().request;
    let request = Request {
        game_id: request.game_id.clone(),
        op_source: request.op_source.clone(),
        source_ref: request.source_ref.clone(),
    };
    let ports = NativePorts(RefCell::new(session));
    let verdict = rtmanager_guest::cleanup::handle(&&ports, &request);
    let verdict =
        Verdict { outcome: outcome(verdict.outcome), error_code: verdict.error_code, message: verdict.message };
    Execution { session: ports.0.into_inner(), answer: Ok(Answer::Verdict(verdict)) }
}

struct NativePorts(RefCell<Session>);

/// The session's one lease.
struct NativeLease<'p>(&'p NativePorts);

impl NativePorts {
    fn call<T>(&self, call: impl AsyncFnOnce(&mut Session) -> Result<T, session::Error>) -> Result<T, Error> {
        let mut session = self.0.borrow_mut();
        let answer = call(&mut session).now_or_never().expect("ports in memory answer at once");
        answer.map_err(error)
    }
}

impl<'p> Leases for &'p NativePorts {
    type Lease = NativeLease<'p>;

    fn try_acquire(&self) -> Result<Option<Self::Lease>, Error> {
        let acquired = self.call(async |session| session.try_acquire().await)?;
        Ok(acquired.then_some(NativeLease(self)))
    }
}

impl Lease for NativeLease<'_> {
    fn release(&self) -> Result<(), Error> {
        self.0.call(async |session| session.release().await)
    }
}

impl Records for &NativePorts {
    fn get(&self) -> Result<RuntimeRecord, Error> {
        self.call(async |session| session.record().await.map(record))
    }

    fn update_status(
        &self,
        _: &Self::Lease,
        expected: &Status,
        expected_container: Option<&str>,
        new: &Status,
    ) -> Result<(), Error> {
        let (expected, new) = (status(expected), status(new));
        self.call(async |session| session.update_status(&expected, expected_container, &new).await)
    }
}

impl Docker for &NativePorts {
    fn inspect(&self, container: &str) -> Result<Container, Error> {
        self.call(async |session| session.inspect(container).await.map(described))
    }

    fn remove(&self, _: &Self::Lease, container: &str) -> Result<Removal, Error> {
        let removal = self.call(async |session| session.remove(container).await)?;
        Ok(match removal {
            model::Removal::Removed => Removal::Removed,
            model::Removal::AlreadyGone => Removal::AlreadyGone,
        })
    }
}

impl OpLog for &NativePorts {
    fn append(&self, entry: &Entry) -> Result<u64, Error> {
        let texts = [&entry.error_code, &entry.message, &entry.container_id, &entry.image_ref];
        let [code, message, container, image] = texts.map(Option::as_deref);
        let id =
            self.call(async |session| session.append(outcome(entry.outcome), code, message, container, image).await)?;
        Ok(id.0)
    }
}

fn outcome(outcome: Outcome) -> model::Outcome {
    match outcome {
        Outcome::Success => model::Outcome::Success,
        Outcome::Failure => model::Outcome::Failure,
    }
}

fn status(status: &Status) -> model::Status {
    match status {
        Status::Running => model::Status::Running,
        Status::Stopped => model::Status::Stopped,
        Status::Removed => model::Status::Removed,
        Status::Other(text) => model::Status::Other(text.clone()),
    }
}

fn error(error: session::Error) -> Error {
    match error {
        session::Error::NotFound => Error::NotFound,
        session::Error::Conflict => Error::Conflict,
        session::Error::Denied(rule) => Error::Denied(rule.as_str().to_owned()),
        session::Error::LeaseLost => Error::LeaseLost,
        session::Error::Unavailable(text) => Error::Unavailable(text.to_owned()),
        session::Error::OutcomeUnknown => Error::OutcomeUnknown,
        session::Error::Internal(text) => Error::Internal(text.to_owned()),
    }
}

fn record(record: &model::RuntimeRecord) -> RuntimeRecord {
    RuntimeRecord {
        game_id: record.game_id.to_string(),
        tenant: record.tenant.to_string(),
        engine: record.engine.to_string(),
        status: match &record.status {
            model::Status::Running => Status::Running,
            model::Status::Stopped => Status::Stopped,
            model::Status::Removed => Status::Removed,
            model::Status::Other(text) => Status::Other(text.clone()),
        },
        container_id: record.container_id.as_ref().map(ToString::to_string),
        image_ref: record.image_ref.clone(),
        labels: record.labels.clone().into_iter().collect(),
        created_at: record.created_at.as_micros(),
        started_at: record.started_at.map(model::Timestamp::as_micros),
        stopped_at: record.stopped_at.map(model::Timestamp::as_micros),
        removed_at: record.removed_at.map(model::Timestamp::as_micros),
        last_op_at: record.last_op_at.as_micros(),
        version: record.version,
    }
}

fn described(container: model::Container) -> Container {
    Container {
        id: container.id.to_string(),
        state: match container.state {
            model::ContainerState::Created => ContainerState::Created,
            model::ContainerState::Running => ContainerState::Running,
            model::ContainerState::Paused => ContainerState::Paused,
            model::ContainerState::Restarting => ContainerState::Restarting,
            model::ContainerState::Removing => ContainerState::Removing,
            model::ContainerState::Exited => ContainerState::Exited,
            model::ContainerState::Dead => ContainerState::Dead,
            model::ContainerState::Other(text) => ContainerState::Other(text),
        },
        exit_code: container.exit_code,
        started_at: container.started_at.map(model::Timestamp::as_micros),
        finished_at: container.finished_at.map(model::Timestamp::as_micros),
        image: container.image,
        labels: container.labels.into_iter().collect(),
    }
}
