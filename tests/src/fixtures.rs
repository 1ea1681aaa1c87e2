//! The policies that the tests run. `build.rs` builds them; the uploads that are no policies are text.

#![allow(clippy::expect_used, reason = "the texts are constants")]

/// Breaks one rule or limit at a time, by the settings `mode` and `review_mode`; see `fixtures/hostile`.
pub const HOSTILE: &[u8] = include_bytes!(env!("HOSTILE_POLICY_WASM"));

/// A proper policy, written in C.
pub const C_POLICY: &[u8] = include_bytes!(env!("C_POLICY_WASM"));

macro_rules! malformed {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $(
            $(#[$doc])*
            pub const $name: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/malformed/", $file, ".wasm"));
        )*

        /// All hand-made policies, by name.
        pub const MALFORMED: &[(&str, &[u8])] = &[$(($file, $name)),*];
    };
}

malformed! {
    /// Nothing is wrong with it: the control for the others. Fails without an entry, with the code `hostile`.
    SOUND = "sound";
    /// Its start function never returns.
    ENDLESS_START = "endless_start";
    /// Its start function traps.
    TRAPPING_START = "trapping_start";
    /// Starts with a memory of 2 GiB.
    HUGE_MEMORY = "huge_memory";
    /// Starts with a table of ten million elements.
    HUGE_TABLE = "huge_table";
    /// Starts with seven memories of 16 MiB and a small one.
    MANY_MEMORIES = "many_memories";
    /// `handle` grows a table until it is refused, and traps.
    GROWING_TABLE = "growing_table";
    /// `handle` grows a table until it is refused, and goes on without.
    REFUSED_TABLE = "refused_table";
    /// `handle` answers with an address outside its memory.
    ANSWER_OUT_OF_BOUNDS = "answer_out_of_bounds";
    /// `handle` answers with an outcome that does not exist.
    ANSWER_UNKNOWN_OUTCOME = "answer_unknown_outcome";
    /// `handle` answers with a message that is not UTF-8.
    ANSWER_NOT_UTF8 = "answer_not_utf8";
    /// `handle` answers with a message of 16 MiB.
    ANSWER_GIANT_MESSAGE = "answer_giant_message";
    /// `handle` logs a gigabyte that it does not have.
    ARGUMENT_OUT_OF_BOUNDS = "argument_out_of_bounds";
    /// `handle` logs a line that is not UTF-8.
    ARGUMENT_NOT_UTF8 = "argument_not_utf8";
    /// `handle` logs at a level that does not exist.
    ARGUMENT_UNKNOWN_LEVEL = "argument_unknown_level";
    /// `handle` answers with a code that is neither there nor missing.
    ANSWER_UNKNOWN_OPTION = "answer_unknown_option";
    /// Has the host write its request outside the memory.
    ALLOCATOR_OUT_OF_BOUNDS = "allocator_out_of_bounds";
    /// Never returns when the host asks for memory.
    ENDLESS_ALLOCATOR = "endless_allocator";
    /// Never returns when told that its answer was read.
    ENDLESS_POST_RETURN = "endless_post_return";
}

/// Makes any call with any arguments, and answers anything: its setting `image` says what; see `fixtures/scripted.wat`.
pub const SCRIPTED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/malformed/scripted.wasm"));

/// Neither a component nor a module.
pub const GARBAGE: &[u8] = b"\x7fELF, perhaps";

fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text of a fixture is valid")
}

/// A module where a component is due.
pub fn core_module() -> Vec<u8> {
    assemble("(module)")
}

/// A component without the exports of a policy.
pub fn without_exports() -> Vec<u8> {
    assemble("(component)")
}

/// Asks for an interface that the contract does not have.
pub fn undeclared_import() -> Vec<u8> {
    assemble(r#"(component (import "evil:host/shell@1.0.0" (instance (export "run" (func)))))"#)
}

/// Asks for an interface of the contract, in a version that nobody has.
pub fn unknown_version() -> Vec<u8> {
    let clock = r#"(instance (export "now" (func (result u64))))"#;
    assemble(&format!(r#"(component (import "galaxy:rtmanager/clock@9.0.0" {clock}))"#))
}

/// Has the exports of a policy by name, and instantiates a module as often as told.
pub fn many_instances(count: usize) -> Vec<u8> {
    let instances = "(core instance (instantiate $m))".repeat(count);
    assemble(&format!(
        r#"(component
            (core module $m)
            {instances}
            (core module $f (func (export "f")))
            (core instance $i (instantiate $f))
            (func $f (canon lift (core func $i "f")))
            (instance $cleanup (export "handle" (func $f)))
            (instance $retention (export "review" (func $f)))
            (export "galaxy:rtmanager/cleanup@0.1.0" (instance $cleanup))
            (export "galaxy:rtmanager/retention@0.1.0" (instance $retention)))"#
    ))
}

/// Components within components, as deep as told.
pub fn nested_components(depth: usize) -> Vec<u8> {
    assemble(&format!("{}{}", "(component ".repeat(depth), ")".repeat(depth)))
}
