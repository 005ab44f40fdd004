//! Regular expressions of schemas: only those that match in linear time, with their size.

use regex_automata::meta::{self, Regex};
use regex_automata::nfa::thompson;

/// The most bytes of a compiled expression. Larger ones are refused while they are compiled.
pub const MAX_COMPILED_BYTES: usize = 8 * 1024 * 1024;
/// The cache of the lazy automaton of one expression and thread.
pub const CACHE_BYTES: usize = 64 * 1024;
/// States that a search passes in one step.
const STATES_PER_STEP: u64 = 16;

#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    states: usize,
}

impl Pattern {
    /// Compiles an ECMA-262 expression. None if it is invalid or too large, or needs look-around or
    /// back-references.
    pub fn compile(text: &str) -> Option<Self> {
        let text = jsonschema_regex::to_rust_regex(text).ok()?;
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .nfa_size_limit(Some(MAX_COMPILED_BYTES))
                    .which_captures(thompson::WhichCaptures::None),
            )
            .build(&text)
            .ok()?;
        let regex = Regex::builder()
            .configure(
                meta::Config::new()
                    .nfa_size_limit(Some(MAX_COMPILED_BYTES))
                    .hybrid_cache_capacity(CACHE_BYTES),
            )
            .build(&text)
            .ok()?;
        Some(Self {
            regex,
            states: nfa.states().len(),
        })
    }

    pub const fn states(&self) -> usize {
        self.states
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The steps of a search in a text of this length.
    pub const fn steps(&self, bytes: usize) -> u64 {
        1 + (bytes as u64).saturating_mul(self.states as u64) / STATES_PER_STEP
    }
}
