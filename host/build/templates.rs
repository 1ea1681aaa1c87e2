//! Collects the projects that `rtmanager policy new` writes: the templates as they stand, the contract, and for C and Go
//! the bindings, so that their authors need no generator.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::StringEncoding;

const LANGUAGES: [&str; 5] = ["rust", "python", "typescript", "c", "go"];

/// What building a template in its place leaves behind.
const BUILT: [&str; 6] = ["target", "build", "node_modules", ".venv", "bindings", "__pycache__"];

/// Writes `templates.rs`, one constant a language: the files' paths in the project, and their bytes; and `world.bin`.
pub(crate) fn collect(root: &Path) -> Result<(), Box<dyn Error>> {
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let (wit, templates) = (root.join("wit"), root.join("guest/templates"));
    println!("cargo::rerun-if-changed={}", wit.display());
    println!("cargo::rerun-if-changed={}", templates.display());
    let manual = files(&wit, Path::new("wit"))?;
    let mut source = String::new();
    for language in LANGUAGES {
        let mut project = files(&templates.join(language), Path::new(""))?;
        project.extend(manual.iter().cloned());
        project.extend(bindings(language, &wit, &out_dir.join("bindings").join(language))?);
        project.sort();
        writeln!(source, "const {}: &[(&str, &[u8])] = &[", language.to_uppercase())?;
        for (path, file) in project {
            writeln!(source, "    ({path:?}, include_bytes!({file:?})),")?;
        }
        writeln!(source, "];")?;
    }
    fs::write(out_dir.join("templates.rs"), source)?;
    fs::write(out_dir.join("world.bin"), world(&wit)?)?;
    Ok(())
}

/// All files under a directory: their paths from it, below `into`, and where they are.
fn files(directory: &Path, into: &Path) -> Result<Vec<(PathBuf, PathBuf)>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if BUILT.iter().any(|built| name == *built) || path.extension().is_some_and(|extension| extension == "wasm") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            found.extend(files(&path, &into.join(name))?);
        } else {
            found.push((into.join(name), path));
        }
    }
    Ok(found)
}

fn bindings(language: &str, wit: &Path, out_dir: &Path) -> Result<Vec<(PathBuf, PathBuf)>, Box<dyn Error>> {
    let mut generator: Box<dyn WorldGenerator> = match language {
        "c" => wit_bindgen_c::Opts::default().build(),
        "go" => go(),
        _ => return Ok(Vec::new()),
    };
    let (mut resolve, world) = contract(wit)?;
    let mut generated = Files::default();
    generator.generate(&mut resolve, world, &mut generated)?;
    let mut bindings = Vec::new();
    for (name, contents) in generated.iter() {
        let file = out_dir.join(name);
        fs::create_dir_all(file.parent().unwrap_or(out_dir))?;
        fs::write(&file, if language == "go" { in_packages(contents)? } else { contents.to_vec() })?;
        bindings.push((Path::new("bindings").join(name), file));
    }
    Ok(bindings)
}

fn go() -> Box<dyn WorldGenerator> {
    wit_bindgen_go::Opts {
        // The author's compiler may not be here.
        format: wit_bindgen_go::Format::False,
        pkg_name: Some("policy/bindings".to_owned()),
        export_pkg_name: Some("policy".to_owned()),
        ..Default::default()
    }
    .build()
}

/// The author's packages, by names that people would give them.
fn in_packages(source: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut source = std::str::from_utf8(source)?.to_owned();
    for package in ["cleanup", "retention"] {
        let generated = format!("export_galaxy_rtmanager_{package}");
        source = source.replace(&format!("\"policy/{generated}\""), &format!("{generated} \"policy/{package}\""));
    }
    Ok(source.into_bytes())
}

fn contract(wit: &Path) -> Result<(Resolve, WorldId), Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some("lifecycle-policy"))?;
    Ok((resolve, world))
}

/// What a module says of the world that it is for, if its compiler has not said it.
fn world(wit: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let (resolve, world) = contract(wit)?;
    Ok(wit_component::metadata::encode(&resolve, world, StringEncoding::UTF8, None)?)
}
