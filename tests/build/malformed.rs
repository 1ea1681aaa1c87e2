//! Makes policies whose module is written by hand: they have the contract's exports and do what no compiler
//! would. Unless a flaw says otherwise, `handle` answers a failure with the code `hostile`, and `review`
//! answers `due`.

use std::error::Error;
use std::fs;
use std::path::Path;

use wit_bindgen_core::wit_parser::Resolve;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// Does whatever a setting says.
const SCRIPTED: &str = include_str!("../fixtures/scripted.wat");

const LOOP: &str = "(loop $again (br $again))";

macro_rules! grow_until_refused {
    () => {
        "(loop $again
            (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))"
    };
}

/// The parts of a module in which the policies differ.
struct Module {
    /// Tables, further memories, a start function.
    fields: &'static str,
    /// Pages of the memory.
    pages: u32,
    /// The body of `handle`, which leaves the verdict's address.
    handle: &'static str,
    /// The body of the allocator, which leaves an address.
    allocate: &'static str,
    /// What happens once the verdict has been read.
    post_return: &'static str,
}

const SOUND: Module =
    Module { fields: "", pages: 1, handle: "(i32.const 16)", allocate: "(i32.const 4096)", post_return: "" };

/// By the names under which `src/fixtures.rs` includes them.
const POLICIES: [(&str, Module); 19] = [
    ("sound", SOUND),
    ("endless_start", Module { fields: "(func $s (loop $again (br $again))) (start $s)", ..SOUND }),
    ("trapping_start", Module { fields: "(func $s unreachable) (start $s)", ..SOUND }),
    ("huge_memory", Module { pages: 32_768, ..SOUND }),
    ("huge_table", Module { fields: "(table 10000000 funcref)", ..SOUND }),
    (
        "many_memories",
        Module {
            fields: "(memory 256) (memory 256) (memory 256) (memory 256) (memory 256) (memory 256) (memory 256)",
            ..SOUND
        },
    ),
    (
        "growing_table",
        Module { fields: "(table $t 1 funcref)", handle: concat!(grow_until_refused!(), " unreachable"), ..SOUND },
    ),
    (
        "refused_table",
        Module { fields: "(table $t 1 funcref)", handle: concat!(grow_until_refused!(), " (i32.const 16)"), ..SOUND },
    ),
    ("answer_out_of_bounds", Module { handle: "(i32.const 0x7ffffff0)", ..SOUND }),
    ("answer_unknown_outcome", Module { handle: "(i32.store8 (i32.const 16) (i32.const 7)) (i32.const 16)", ..SOUND }),
    // The bytes 8 and 9 are not UTF-8.
    ("answer_not_utf8", Module { handle: "(call $message (i32.const 8) (i32.const 2)) (i32.const 16)", ..SOUND }),
    (
        "answer_giant_message",
        Module { pages: 512, handle: "(call $message (i32.const 64) (i32.const 0x1000000)) (i32.const 16)", ..SOUND },
    ),
    (
        "argument_out_of_bounds",
        Module {
            handle: "(call $log (i32.const 2) (i32.const 0) (i32.const 7) (i32.const 0) (i32.const 0x40000000))
                (i32.const 16)",
            ..SOUND
        },
    ),
    (
        "argument_not_utf8",
        Module {
            handle: "(call $log (i32.const 2) (i32.const 0) (i32.const 7) (i32.const 8) (i32.const 2)) (i32.const 16)",
            ..SOUND
        },
    ),
    (
        "argument_unknown_level",
        Module {
            handle: "(call $log (i32.const 77) (i32.const 0) (i32.const 7) (i32.const 0) (i32.const 7)) (i32.const 16)",
            ..SOUND
        },
    ),
    // Neither none nor some.
    ("answer_unknown_option", Module { handle: "(i32.store8 (i32.const 20) (i32.const 9)) (i32.const 16)", ..SOUND }),
    ("allocator_out_of_bounds", Module { allocate: "(i32.const 0x7ffffff0)", ..SOUND }),
    ("endless_allocator", Module { allocate: "(loop $again (br $again)) unreachable", ..SOUND }),
    ("endless_post_return", Module { post_return: LOOP, ..SOUND }),
];

pub(crate) fn components(root: &Path, out_dir: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out_dir)?;
    for (name, module) in POLICIES {
        let component = componentize(root, wat::parse_str(module.text())?)?;
        fs::write(out_dir.join(name).with_extension("wasm"), component)?;
    }
    let scripted = componentize(root, wat::parse_str(SCRIPTED)?)?;
    fs::write(out_dir.join("scripted.wasm"), scripted)?;
    Ok(())
}

impl Module {
    /// The verdict stands at 16: outcome; at 20 tag, address and length of the code; at 32 those of the message.
    /// At 48 stands the advice.
    fn text(&self) -> String {
        let Self { fields, pages, handle, allocate, post_return } = self;
        format!(
            r#"(module
  (import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))
  (memory (export "memory") {pages})
  {fields}
  (data (i32.const 0) "hostile\00\ff\fe")
  (data (i32.const 16) "\01\00\00\00\01\00\00\00\00\00\00\00\07\00\00\00")
  (func $message (param $at i32) (param $len i32)
    (i32.store8 (i32.const 32) (i32.const 1))
    (i32.store (i32.const 36) (local.get $at))
    (i32.store (i32.const 40) (local.get $len)))
  (func (export "galaxy:rtmanager/cleanup@0.1.0#handle") (param i32 i32 i32 i32 i32 i32) (result i32) {handle})
  (func (export "cabi_post_galaxy:rtmanager/cleanup@0.1.0#handle") (param i32) {post_return})
  (func (export "galaxy:rtmanager/retention@0.1.0#review") (param i32) (result i32) (i32.const 48))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {allocate})
)"#
        )
    }
}

/// Gives a module the contract's type.
fn componentize(root: &Path, mut module: Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit"))?;
    let world = resolve.select_world(&[package], Some("lifecycle-policy"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(ComponentEncoder::default().module(&module)?.encode()?)
}
