//! A module of a policy has one memory at most. The engine itself allows more, since it glues the components of a
//! composition together by modules of its own, which reach into the memories of two.

use wasmparser::{Parser, Payload, TypeRef};

/// Counts in every module of the component. What does not parse is left to the compiler to name.
pub(super) fn at_most_one_each(component: &[u8]) -> wasmtime::Result<()> {
    let mut memories = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        let Ok(payload) = payload else { return Ok(()) };
        match payload {
            Payload::Version { .. } => memories = 0,
            Payload::MemorySection(section) => memories = memories.saturating_add(section.count()),
            Payload::ImportSection(section) => memories = memories.saturating_add(imported(section)),
            _ => {}
        }
        if memories > 1 {
            return Err(wasmtime::Error::msg("a module has multiple memories, and one is allowed"));
        }
    }
    Ok(())
}

fn imported(section: wasmparser::ImportSectionReader) -> u32 {
    let memories = section
        .into_imports()
        .filter(|import| import.as_ref().is_ok_and(|import| matches!(import.ty, TypeRef::Memory(_))));
    u32::try_from(memories.count()).unwrap_or(u32::MAX)
}
