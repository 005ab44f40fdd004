//! Components that are made for a test.

use bytes::Bytes;
use wasm_encoder::{CodeSection, Component, FunctionSection, Module, ModuleSection, TypeSection};

/// A core module with functions `() -> ()` that have the same body: its locals, its instructions
/// and the end.
pub fn module_of(functions: usize, body: &[u8]) -> Module {
    let (mut types, mut declared, mut code) = (
        TypeSection::new(),
        FunctionSection::new(),
        CodeSection::new(),
    );
    types.ty().function([], []);
    for _ in 0..functions {
        declared.function(0);
        code.raw(body);
    }
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&code);
    module
}

/// A component that contains modules and exports nothing.
pub fn component_around(modules: &[&Module]) -> Bytes {
    let mut component = Component::new();
    for module in modules {
        component.section(&ModuleSection(module));
    }
    component.finish().into()
}

/// A component within the default bounds that takes long to compile: functions that call each other
/// thousands of times.
pub fn slow_component() -> Bytes {
    const CALLS: usize = 50_000;
    let body = [&[0][..], &[0x10, 0].repeat(CALLS), &[0x0b]].concat();
    component_around(&[&module_of(40, &body)])
}
