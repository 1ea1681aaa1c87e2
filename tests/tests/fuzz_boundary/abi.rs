//! A model of the canonical ABI: what it makes of what a script passes and answers.

use rtmanager::model::{Outcome, Timestamp, bounded_text};
use rtmanager::runtime::{Advice, Answer, Verdict};

use super::script::{Call, MEMORY, Optional, Said, Script, TOO_LONG, Tag, Text};

/// Breaks the ABI.
#[derive(Debug)]
pub(super) struct Breaks;

/// What the canonical ABI makes of a text.
fn lifted(text: &Text) -> Result<String, Breaks> {
    match text {
        Text::Proper(text) => Ok(text.clone()),
        Text::Bytes(bytes) => String::from_utf8(bytes.clone()).map_err(|_| Breaks),
        Text::Raw(at, length) if u64::from(*at) + u64::from(*length) > MEMORY || *length == TOO_LONG => Err(Breaks),
        Text::Raw(_, length) => Ok("\0".repeat(*length as usize)),
    }
}

fn one_of(tag: Tag, count: u32) -> Result<(), Breaks> {
    if tag < count { Ok(()) } else { Err(Breaks) }
}

/// In memory, a tag has one byte; as an argument, four.
fn stored(tag: Tag) -> Tag {
    tag & 0xff
}

fn chosen(tag: Tag, text: &Text) -> Result<Option<String>, Breaks> {
    one_of(tag, 2)?;
    if tag == 1 { lifted(text).map(Some) } else { Ok(None) }
}

fn some_status(Optional(tag, text): &Optional) -> Result<(), Breaks> {
    one_of(*tag, 4)?;
    if *tag == 3 { lifted(text).map(drop) } else { Ok(()) }
}

fn fits(place: u32, alignment: u32) -> Result<(), Breaks> {
    if place.is_multiple_of(alignment) && u64::from(place) + 512 <= MEMORY { Ok(()) } else { Err(Breaks) }
}

/// The handles of a run, as far as the ABI looks at them.
struct Handles {
    may_acquire: bool,
    lease: bool,
}

impl Handles {
    fn lease(&self, handle: u32) -> Result<(), Breaks> {
        if self.lease && handle == 1 { Ok(()) } else { Err(Breaks) }
    }

    fn after(&mut self, call: &Call) -> Result<(), Breaks> {
        match call {
            Call::Now => Ok(()),
            Call::Acquire(to) => {
                fits(*to, 4)?;
                // A run takes one lease, and a review none.
                self.lease |= std::mem::take(&mut self.may_acquire);
                Ok(())
            }
            Call::Release(lease, to) => self.lease(*lease).and_then(|()| fits(*to, 4)),
            Call::Drop(lease) => {
                self.lease(*lease)?;
                self.lease = false;
                Ok(())
            }
            Call::Record(to) => fits(*to, 8),
            Call::Update(lease, from, Optional(tag, container), new, to) => {
                self.lease(*lease)?;
                some_status(from)?;
                chosen(*tag, container)?;
                some_status(new)?;
                fits(*to, 4)
            }
            Call::Inspect(id, to) => lifted(id).and_then(|_| fits(*to, 8)),
            Call::Remove(lease, id, to) => {
                self.lease(*lease)?;
                lifted(id)?;
                fits(*to, 4)
            }
            Call::Append(outcome, texts, to) => {
                one_of(*outcome, 2)?;
                texts.iter().try_for_each(|Optional(tag, text)| chosen(*tag, text).map(drop))?;
                fits(*to, 8)
            }
            Call::Setting(name, to) => lifted(name).and_then(|_| fits(*to, 4)),
            Call::Settings(to) => fits(*to, 4),
            Call::Log(level, context, message) => {
                one_of(*level, 6)?;
                lifted(context)?;
                lifted(message).map(drop)
            }
        }
    }
}

/// What the ABI makes of the whole script.
pub(super) fn expected(script: &Script, reviews: bool) -> Result<Answer, Breaks> {
    let mut handles = Handles { may_acquire: !reviews, lease: false };
    script.calls.iter().try_for_each(|call| handles.after(call))?;
    if script.displaced != 0 {
        return Err(Breaks);
    }
    match &script.said {
        Said::Verdict(outcome, Optional(with_code, code), Optional(with_message, message)) => {
            one_of(stored(*outcome), 2)?;
            let outcome = if stored(*outcome) == 0 { Outcome::Success } else { Outcome::Failure };
            let error_code = chosen(stored(*with_code), code)?;
            let message = chosen(stored(*with_message), message)?;
            Ok(Answer::Verdict(Verdict { outcome, error_code, message }))
        }
        Said::Due => Ok(Answer::Advice(Advice::Due)),
        Said::WaitUntil(at) => Ok(Answer::Advice(Advice::WaitUntil(Timestamp::from_micros(*at)))),
        Said::Keep(reason) => Ok(Answer::Advice(Advice::Keep(bounded_text(&lifted(reason)?, 256)))),
        Said::Unknown(_) => Err(Breaks),
    }
}
