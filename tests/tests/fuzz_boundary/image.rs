//! A script as the bytes that the scripted policy goes by.

use super::script::{Call, MOST_CALLS, Optional, Said, Script, Text};

/// Where the image is put, and what stands where in it; see `fixtures/scripted.wat`.
const IMAGE_AT: u32 = 65_536;
const CALLS_AT: u32 = IMAGE_AT + 16;
const CALL_BYTES: u32 = 60;
const TEXTS_AT: u32 = CALLS_AT + CALL_BYTES * MOST_CALLS + 8;

/// The image under construction.
struct Writer {
    image: Vec<u8>,
}

impl Writer {
    /// Address and length of a text.
    fn text(&mut self, text: &Text) -> [u32; 2] {
        let bytes: &[u8] = match text {
            Text::Raw(at, length) => return [*at, *length],
            Text::Proper(text) => text.as_bytes(),
            Text::Bytes(bytes) => bytes,
        };
        let at = IMAGE_AT + self.image.len() as u32;
        self.image.extend_from_slice(bytes);
        [at, bytes.len() as u32]
    }

    fn optional(&mut self, Optional(tag, text): &Optional) -> [u32; 3] {
        let [at, length] = self.text(text);
        [*tag, at, length]
    }

    fn put(&mut self, at: u32, number: u32) {
        let at = (at - IMAGE_AT) as usize;
        self.image[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }

    fn call(&mut self, nth: u32, call: &Call) {
        let (which, arguments): (u32, Vec<u32>) = match call {
            Call::Now => (0, vec![]),
            Call::Acquire(to) => (1, vec![*to]),
            Call::Release(lease, to) => (2, vec![*lease, *to]),
            Call::Drop(lease) => (3, vec![*lease]),
            Call::Record(to) => (4, vec![*to]),
            Call::Update(lease, from, container, new, to) => {
                let parts = [from, container, new].map(|part| self.optional(part)).concat();
                (5, [vec![*lease], parts, vec![*to]].concat())
            }
            Call::Inspect(id, to) => (6, [self.text(id).to_vec(), vec![*to]].concat()),
            Call::Remove(lease, id, to) => (7, [vec![*lease], self.text(id).to_vec(), vec![*to]].concat()),
            Call::Append(outcome, texts, to) => {
                let texts = texts.each_ref().map(|text| self.optional(text)).concat();
                (8, [vec![*outcome], texts, vec![*to]].concat())
            }
            Call::Setting(name, to) => (9, [self.text(name).to_vec(), vec![*to]].concat()),
            Call::Settings(to) => (10, vec![*to]),
            Call::Log(level, context, message) => {
                (11, [vec![*level], self.text(context).to_vec(), self.text(message).to_vec()].concat())
            }
        };
        let at = CALLS_AT + nth * CALL_BYTES;
        self.put(at, which);
        for (argument, place) in arguments.into_iter().zip(1u32..) {
            self.put(at + 4 * place, argument);
        }
    }

    /// The words of the answer; what is a byte in the ABI is the lowest one of its word.
    fn said(&mut self, said: &Said) -> Vec<u32> {
        match said {
            Said::Verdict(outcome, code, message) => {
                let [code, message] = [code, message].map(|part| self.optional(part));
                [vec![*outcome], code.to_vec(), message.to_vec()].concat()
            }
            Said::Due => vec![0, 0, 0, 0],
            Said::WaitUntil(at) => vec![1, 0, *at as u32, (*at >> 32) as u32],
            Said::Keep(reason) => [vec![2, 0], self.text(reason).to_vec()].concat(),
            Said::Unknown(tag) => vec![*tag, 0, 0, 0],
        }
    }
}

pub(super) fn image(script: &Script) -> String {
    let mut writer = Writer { image: vec![0; (TEXTS_AT - IMAGE_AT) as usize] };
    for (call, nth) in script.calls.iter().zip(0u32..) {
        writer.call(nth, call);
    }
    let answer = writer.said(&script.said);
    while !writer.image.len().is_multiple_of(8) {
        writer.image.push(0);
    }
    let at = IMAGE_AT + writer.image.len() as u32;
    writer.image.extend(answer.into_iter().flat_map(u32::to_le_bytes));
    writer.image.extend([0; 8]);
    let count = script.calls.len() as u32;
    for (place, number) in [(0, count), (4, count), (8, at + script.displaced), (12, at + script.displaced)] {
        writer.put(IMAGE_AT + place, number);
    }
    hex::encode(writer.image)
}
