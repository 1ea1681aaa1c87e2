//! A module in a file becomes a component: the last step for compilers that stop at modules.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use super::super::{Answer, Error, render};
use super::arguments::read;
use crate::admission::ShapeLimits;

/// The contract's world, as modules name it.
const WORLD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/world.bin"));
const WORLD_SECTION: &str = "component-type";

#[derive(Debug, Args)]
pub(super) struct Component {
    /// The module
    module: PathBuf,
    /// Where to put the component
    component: PathBuf,
}

/// What was made.
#[derive(Serialize)]
struct Made {
    component: String,
    bytes: usize,
}

impl Component {
    pub(super) fn run(self, json: bool) -> Result<Answer, Error> {
        let module = of_the_world(read(&self.module, ShapeLimits::default().component_bytes)?);
        let component = encoded(&module)
            .map_err(|why| Error::Usage(format!("{} cannot be made a component: {why}", self.module.display())))?;
        let written = std::fs::write(&self.component, &component);
        written.map_err(|source| Error::File { path: self.component.clone(), source })?;
        let made = Made { component: self.component.display().to_string(), bytes: component.len() };
        let text = format!("Made {} ({} bytes).\n", made.component, made.bytes);
        Ok(Answer::ok(if json { render::json(&made)? } else { text }))
    }
}

/// Says of a module which world it is for, unless its compiler has.
fn of_the_world(mut module: Vec<u8>) -> Vec<u8> {
    let said = Parser::new(0).parse_all(&module).any(
        |payload| matches!(payload, Ok(Payload::CustomSection(section)) if section.name().starts_with(WORLD_SECTION)),
    );
    if !said {
        append_section(&mut module, WORLD_SECTION, WORLD);
    }
    module
}

/// A custom section is its kind, its length, its name and its contents.
fn append_section(module: &mut Vec<u8>, name: &str, contents: &[u8]) {
    let mut section = Vec::new();
    append_length(&mut section, name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(contents);
    module.push(0);
    append_length(module, section.len());
    module.append(&mut section);
}

/// LEB128: seven bits a byte, the lowest first.
fn append_length(bytes: &mut Vec<u8>, mut length: usize) {
    while let low @ 0x80.. = length {
        bytes.push(u8::try_from(low & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap_or_default());
}

/// What the module wants of WASI's first preview is put in terms of the second one, which the host answers.
fn encoded(module: &[u8]) -> Result<Vec<u8>, String> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|encoder| encoder.encode())
        .map_err(|error| format!("{error:#}"))
}
