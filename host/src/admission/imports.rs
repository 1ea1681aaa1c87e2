//! What a component imports and exports, read from its type before it is compiled.

use std::collections::BTreeSet;

use wasmparser::component_types::{ComponentEntityType, ComponentInstanceType, ComponentItem};
use wasmparser::types::{Types, TypesRef};
use wasmparser::{Encoding, Parser, Payload, ValidPayload, Validator, WasmFeatures};

use super::Refusal;
use super::world::{self, EXPORTS, Interface, Known};
use crate::model::{Grant, Grants, bounded_text};

/// Longest name of a stranger's that is shown.
const NAME_BYTES: usize = 128;

/// What a component asks for. Two of them compared tell what a swap would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// What it imports, function by function: `galaxy:rtmanager/docker@0.1.0#remove`.
    pub imports: BTreeSet<String>,
    /// The grants that this takes. One that reads settings may read any of them, so it takes all.
    pub needs: Grants,
}

impl Authority {
    /// Reads a component's imports, and checks that the world has each of them, and that the contract's exports are
    /// there.
    pub fn of(component: &[u8]) -> Result<Self, Refusal> {
        let (types, imports) = outer_types(component)?;
        let (mut imported, mut needs) = (BTreeSet::new(), BTreeSet::new());
        for interface in imports {
            for function in functions(types.as_ref(), &interface)? {
                let (grant, import) = known(&interface, function.as_deref())?;
                needs.extend(grant);
                imported.insert(import);
            }
        }
        for (interface, function) in EXPORTS {
            exported(types.as_ref(), interface, function)?;
        }
        Ok(Self { imports: imported, needs: needs.into_iter().collect() })
    }

    /// Refuses the first import that is not granted. Settings are granted one by one, so that any of them will do:
    /// those that are not granted are not there to be read.
    pub fn check(&self, grants: &Grants) -> Result<(), Refusal> {
        let lacks = |grant: &&Grant| match grant {
            Grant::AllSettings => !grants.permits_settings(),
            grant => !grants.contains(grant),
        };
        let Some(missing) = self.needs.iter().find(lacks) else { return Ok(()) };
        let takes = |import: &&String| {
            let (interface, function) = import.split_once('#').unwrap_or((import, ""));
            known(interface, Some(function)).is_ok_and(|(grant, _)| grant.as_ref() == Some(missing))
        };
        let import = self.imports.iter().find(takes).cloned().unwrap_or_default();
        Err(Refusal::NotGranted { import, missing: missing.clone(), granted: grants.clone() })
    }
}

/// The types of the outermost component, and the names of its imports. Functions' bodies are left to the compiler.
fn outer_types(component: &[u8]) -> Result<(Types, Vec<String>), Refusal> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let (mut outermost, mut imports, mut depth) = (None, Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(Refusal::malformed)?;
        match &payload {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(Refusal::NoComponent),
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section.clone() {
                    imports.push(import.map_err(Refusal::malformed)?.name.name.to_owned());
                }
            }
            _ => {}
        }
        if let ValidPayload::End(types) = validator.payload(&payload).map_err(Refusal::malformed)? {
            outermost = Some(types);
        }
    }
    Ok((outermost.ok_or(Refusal::NoComponent)?, imports))
}

/// The functions of an imported instance; one nameless if it has none, so that an interface of types is looked up too.
fn functions(types: TypesRef, interface: &str) -> Result<Vec<Option<String>>, Refusal> {
    let imported = types.component_item_for_import(interface);
    let imported = imported.and_then(|item| instance(types, item)).ok_or_else(|| unknown(interface))?;
    let functions = imported.exports.iter().filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)));
    let mut functions: Vec<_> = functions.map(|(name, _)| Some(name.clone())).collect();
    if functions.is_empty() {
        functions.push(None);
    }
    Ok(functions)
}

fn instance<'t>(types: TypesRef<'t>, item: &ComponentItem) -> Option<&'t ComponentInstanceType> {
    match item.ty {
        ComponentEntityType::Instance(instance) => types.get(instance),
        _ => None,
    }
}

/// The grant that an import takes, if any, and its name.
fn known(interface: &str, function: Option<&str>) -> Result<(Option<Grant>, String), Refusal> {
    let found = world::interface(interface).ok_or_else(|| unknown(interface))?;
    let function = function.filter(|function| !function.is_empty());
    let import = function.map_or_else(|| interface.to_owned(), |function| format!("{interface}#{function}"));
    let grant = match (found, function) {
        (Known::Wasi, _) => Some(Grant::Wasi),
        (Known::World(_), None) => None,
        (Known::World(known), Some(function)) => Some(granting(known, function)?),
    };
    Ok((grant, import))
}

fn granting(interface: &Interface, function: &str) -> Result<Grant, Refusal> {
    let found = interface.functions.iter().find(|(name, _)| *name == function);
    found.map(|(_, grant)| grant.clone()).ok_or_else(|| Refusal::UnknownFunction {
        interface: interface.name,
        function: bounded_text(function, NAME_BYTES),
        allowed: interface.functions.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
    })
}

fn unknown(import: &str) -> Refusal {
    Refusal::UnknownImport { import: bounded_text(import, NAME_BYTES), allowed: world::importable() }
}

fn exported(types: TypesRef, interface: &'static str, function: &'static str) -> Result<(), Refusal> {
    let exported = types.component_item_for_export(interface).and_then(|item| instance(types, item));
    match exported.and_then(|exported| exported.exports.get(function)).map(|item| item.ty) {
        Some(ComponentEntityType::Func(_)) => Ok(()),
        _ => Err(Refusal::MissingExport { interface, function }),
    }
}
