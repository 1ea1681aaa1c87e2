//! Every port's answers in a few words.

use std::fmt::{Formatter, Result, Write as _};

use super::Answer;
use crate::model::{
    Begun, Census, Container, ContainerId, EngineName, EntryId, Fence, LoggedOperation, OpenRun, Pause, Removal,
    RuntimeRecord, TenantId, Timestamp, TrackedRuntime,
};
use crate::ports::{DuePage, Listing, Standing};

impl Answer for () {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("done")
    }
}

impl Answer for bool {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(if *self { "yes" } else { "no" })
    }

    fn yes(&self) -> Option<bool> {
        Some(*self)
    }
}

impl Answer for u64 {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{self}")
    }
}

impl Answer for Timestamp {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{self}")
    }
}

impl Answer for EntryId {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "entry {}", self.0)
    }
}

impl Answer for Removal {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Removed => "removed",
            Self::AlreadyGone => "already gone",
        })
    }
}

impl Answer for RuntimeRecord {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} ", self.status)?;
        match &self.container_id {
            Some(container) => container.brief(f)?,
            None => f.write_char('-')?,
        }
        write!(f, " v{}", self.version)
    }
}

impl Answer for TrackedRuntime {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        self.record.brief(f)?;
        f.write_str(if self.cleanup.hold.is_some() { " held" } else { "" })
    }
}

impl Answer for (TrackedRuntime, Standing) {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        self.0.brief(f)?;
        f.write_str(if self.1 == Standing::Revoked { " for whom is revoked" } else { "" })
    }
}

impl Answer for Begun {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        self.runtime.brief(f)?;
        write!(f, " fence {}", self.fence.0)
    }

    fn fence(&self) -> Option<Fence> {
        Some(self.fence)
    }
}

impl Answer for OpenRun {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(if self.committed_at.is_some() { "had changed its record" } else { "had changed nothing" })
    }
}

impl Answer for Container {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}", self.state)
    }
}

/// An id's last digits are enough to tell the few containers of a test apart.
impl Answer for ContainerId {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        let id = self.as_str();
        write!(f, "…{}", id.get(id.len().saturating_sub(4)..).unwrap_or(id))
    }
}

impl Answer for DuePage {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        f.write_char('[')?;
        for (place, row) in self.rows.iter().enumerate() {
            write!(f, "{}{}", if place == 0 { "" } else { " " }, row.record.game_id)?;
        }
        f.write_char(']')
    }
}

impl Answer for Listing {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} containers", self.containers.len())
    }
}

impl Answer for Census {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} due of {}, {} removed recently", self.due, self.not_removed, self.removed_recently)
    }
}

impl Answer for Pause {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} paused", self.scope)
    }
}

impl Answer for TenantId {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{self}")
    }
}

impl Answer for EngineName {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{self}")
    }
}

impl Answer for LoggedOperation {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        self.id.brief(f)
    }
}

impl<T: Answer> Answer for Option<T> {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Some(answer) => answer.brief(f),
            None => f.write_str("none"),
        }
    }

    fn fence(&self) -> Option<Fence> {
        self.as_ref().and_then(Answer::fence)
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn brief(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} of them", self.len())
    }
}
