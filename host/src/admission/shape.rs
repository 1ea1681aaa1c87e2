//! Bounds on a component's shape, counted by a parser before anything compiles it. They let in what interpreters come
//! as, with some room, and keep out what only a bomb has.

use wasmparser::{ComponentInstance, Encoding, FromReader, Instance, Parser, Payload, SectionLimited};

use super::Refusal;
use crate::runtime::{INSTANCES, MEMORIES, TABLES};

/// More of something than is allowed. Counting stopped there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the component has {found} {what} or more, and {allowed} are allowed ({limit})")]
pub struct OutOfShape {
    /// What there is too much of.
    pub what: &'static str,
    /// The limit's name.
    pub limit: &'static str,
    /// As far as it was counted.
    pub found: u64,
    /// How much is allowed.
    pub allowed: u64,
}

macro_rules! shape {
    ($($(#[$doc:meta])* $name:ident = $default:expr, $what:literal;)*) => {
        /// How much of everything a component may have, over all that is nested in it.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct ShapeLimits {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Default for ShapeLimits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        #[derive(Default)]
        struct Count {
            $($name: u64,)*
        }

        impl Count {
            $(fn $name(&mut self, more: u64, limits: &ShapeLimits) -> Result<(), OutOfShape> {
                self.$name = self.$name.saturating_add(more);
                let (found, allowed) = (self.$name, limits.$name);
                let (what, limit) = ($what, stringify!($name));
                if found > allowed { Err(OutOfShape { what, limit, found, allowed }) } else { Ok(()) }
            })*
        }
    };
}

shape! {
    /// Its bytes.
    component_bytes = 32 << 20, "bytes";
    /// Components and modules within one another, itself included.
    nesting = 8, "levels of nesting";
    /// Components, itself included.
    components = 100, "components";
    /// Core modules.
    modules = 100, "core modules";
    /// Instantiations of core modules: what a run may have at most.
    core_instances = INSTANCES.into(), "core module instances";
    /// Instantiations of components.
    component_instances = 100, "component instances";
    /// Memories, of all modules: likewise.
    memories = MEMORIES.into(), "memories";
    /// Tables, of all modules: likewise.
    tables = TABLES.into(), "tables";
    /// Functions with a body, of all modules.
    functions = 100_000, "functions";
    /// Bytes of the largest function: compilers take longer than in proportion.
    function_bytes = 1 << 20, "bytes in one function";
    /// Types, of modules and components.
    types = 20_000, "types";
    /// Globals, of all modules.
    globals = 100_000, "globals";
    /// Imports and exports, of modules and components.
    externs = 100_000, "imports and exports";
    /// Segments of data and elements, of all modules.
    segments = 100_000, "data and element segments";
    /// Aliases and canonical functions, by which components join their parts.
    joints = 20_000, "aliases and canonical functions";
    /// Sections, custom ones included.
    sections = 10_000, "sections";
}

/// Checks a component's shape.
pub(super) fn check(component: &[u8], limits: &ShapeLimits) -> Result<(), Refusal> {
    let mut count = Count::default();
    count.component_bytes(length(component.len()), limits)?;
    for payload in Parser::new(0).parse_all(component) {
        count.payload(payload.map_err(Refusal::malformed)?, limits)?;
    }
    Ok(())
}

impl Count {
    fn payload(&mut self, payload: Payload, limits: &ShapeLimits) -> Result<(), Refusal> {
        if !matches!(payload, Payload::CodeSectionEntry(_) | Payload::Version { .. } | Payload::End(_)) {
            self.sections(1, limits)?;
        }
        match payload {
            Payload::Version { encoding, .. } => {
                self.nesting(1, limits)?;
                match encoding {
                    Encoding::Module => self.modules(1, limits)?,
                    Encoding::Component => self.components(1, limits)?,
                }
            }
            Payload::End(_) => self.nesting = self.nesting.saturating_sub(1),
            Payload::CodeSectionEntry(body) => {
                self.function_bytes = 0;
                self.function_bytes(length(body.range().len()), limits)?;
            }
            Payload::InstanceSection(section) => {
                let instantiates = |instance: &Instance| matches!(instance, Instance::Instantiate { .. });
                self.core_instances(those(section, instantiates)?, limits)?;
            }
            Payload::ComponentInstanceSection(section) => {
                let instantiates = |found: &ComponentInstance| matches!(found, ComponentInstance::Instantiate { .. });
                self.component_instances(those(section, instantiates)?, limits)?;
            }
            sized => self.sized(&sized, limits)?,
        }
        Ok(())
    }

    /// What a section's own count tells; there is a byte at least for each, so it cannot be far from the truth.
    fn sized(&mut self, payload: &Payload, limits: &ShapeLimits) -> Result<(), OutOfShape> {
        match payload {
            Payload::TypeSection(section) => self.types(section.count().into(), limits),
            Payload::CoreTypeSection(section) => self.types(section.count().into(), limits),
            Payload::ComponentTypeSection(section) => self.types(section.count().into(), limits),
            Payload::FunctionSection(section) => self.functions(section.count().into(), limits),
            Payload::TableSection(section) => self.tables(section.count().into(), limits),
            Payload::MemorySection(section) => self.memories(section.count().into(), limits),
            Payload::GlobalSection(section) => self.globals(section.count().into(), limits),
            Payload::ImportSection(section) => self.externs(section.count().into(), limits),
            Payload::ExportSection(section) => self.externs(section.count().into(), limits),
            Payload::ComponentImportSection(section) => self.externs(section.count().into(), limits),
            Payload::ComponentExportSection(section) => self.externs(section.count().into(), limits),
            Payload::DataSection(section) => self.segments(section.count().into(), limits),
            Payload::ElementSection(section) => self.segments(section.count().into(), limits),
            Payload::ComponentAliasSection(section) => self.joints(section.count().into(), limits),
            Payload::ComponentCanonicalSection(section) => self.joints(section.count().into(), limits),
            _ => Ok(()),
        }
    }
}

/// How many of a section's items are such.
fn those<'a, T: FromReader<'a>>(section: SectionLimited<'a, T>, such: impl Fn(&T) -> bool) -> Result<u64, Refusal> {
    let mut count = 0;
    for item in section {
        count += u64::from(such(&item.map_err(Refusal::malformed)?));
    }
    Ok(count)
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
