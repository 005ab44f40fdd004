//! Counts what makes a component expensive to compile and to load, in one pass over its bytes:
//! functions, types and bytes of code, over all nested modules and components, and instances.
//!
//! A nested component can be instantiated more than once, and its own nested components, too, so
//! the instances multiply. The count is an upper bound: each instance counts as the largest of the
//! components that were complete before it.

use serde::{Deserialize, Serialize};
use wasmparser::{
    BinaryReaderError, ComponentType, ComponentTypeDeclaration, CoreType, InstanceTypeDeclaration,
    Parser, Payload,
};

use crate::runtime::runtime_settings::CompileBounds;

/// A component beyond a bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "the component has more than {bound} {} (see `runtime.compile.{}`)",
    excess.what(),
    excess.setting()
)]
pub struct Oversize {
    excess: Excess,
    bound: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Excess {
    Functions,
    Types,
    CodeBytes,
    Instances,
    CompiledBytes,
}

impl Excess {
    const fn what(self) -> &'static str {
        match self {
            Self::Functions => "functions",
            Self::Types => "types",
            Self::CodeBytes => "bytes of code",
            Self::Instances => "instances",
            Self::CompiledBytes => "bytes of compiled code",
        }
    }

    const fn setting(self) -> &'static str {
        match self {
            Self::Functions => "max_functions",
            Self::Types => "max_types",
            Self::CodeBytes => "max_code_bytes",
            Self::Instances => "max_instances",
            Self::CompiledBytes => "max_compiled_bytes",
        }
    }
}

impl Oversize {
    pub const fn compiled(bounds: &CompileBounds) -> Self {
        Self {
            excess: Excess::CompiledBytes,
            bound: bounds.max_compiled_bytes,
        }
    }
}

#[derive(Default)]
struct Size {
    functions: u64,
    types: u64,
    code_bytes: u64,
    /// The modules and components that are read, the outer ones first.
    open: Vec<Instances>,
    /// The most instances of a complete component.
    instances: u64,
}

/// The instances that one component makes.
#[derive(Default)]
struct Instances {
    core: u64,
    components: u64,
}

/// Checks a component against the bounds, and reads no further than the first excess. The outer
/// error means that the bytes are not valid.
pub fn check(
    wasm: &[u8],
    bounds: &CompileBounds,
) -> Result<Result<(), Oversize>, BinaryReaderError> {
    let mut size = Size::default();
    for payload in Parser::new(0).parse_all(wasm) {
        size.add(&payload?)?;
        if let Err(oversize) = size.within(bounds) {
            return Ok(Err(oversize));
        }
    }
    Ok(Ok(()))
}

impl Size {
    fn within(&self, bounds: &CompileBounds) -> Result<(), Oversize> {
        let counts = [
            (Excess::Functions, self.functions, bounds.max_functions),
            (Excess::Types, self.types, bounds.max_types),
            (Excess::CodeBytes, self.code_bytes, bounds.max_code_bytes),
            (Excess::Instances, self.instances, bounds.max_instances),
        ];
        match counts.into_iter().find(|(_, count, bound)| count > bound) {
            Some((excess, _, bound)) => Err(Oversize { excess, bound }),
            None => Ok(()),
        }
    }

    fn add(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::Version { .. } => self.open.push(Instances::default()),
            Payload::End(_) => self.complete(),
            Payload::InstanceSection(section) => {
                self.innermost().core += u64::from(section.count());
            }
            Payload::ComponentInstanceSection(section) => {
                self.innermost().components += u64::from(section.count());
            }
            // The engine compiles a trampoline for each function that crosses a border.
            Payload::ImportSection(section) => self.functions += u64::from(section.count()),
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::ComponentCanonicalSection(section) => {
                self.functions += u64::from(section.count());
            }
            Payload::CodeSectionStart { size, .. } => self.code_bytes += u64::from(*size),
            Payload::TypeSection(section) => {
                // Each group has at least one type; a group that is too long is not read.
                self.types += u64::from(section.count());
                for group in section.clone() {
                    self.types += group?.types().len().saturating_sub(1) as u64;
                }
            }
            Payload::CoreTypeSection(section) => {
                for core in section.clone() {
                    self.types += core_types(&core?);
                }
            }
            Payload::ComponentTypeSection(section) => {
                for component in section.clone() {
                    self.types += component_types(&component?);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Size {
    fn innermost(&mut self) -> &mut Instances {
        if self.open.is_empty() {
            self.open.push(Instances::default());
        }
        let last = self.open.len() - 1;
        &mut self.open[last]
    }

    fn complete(&mut self) {
        let Instances { core, components } = self.open.pop().unwrap_or_default();
        let nested = components.saturating_mul(self.instances.saturating_add(1));
        self.instances = self.instances.max(core.saturating_add(nested));
    }
}

fn core_types(core: &CoreType<'_>) -> u64 {
    match core {
        CoreType::Rec(group) => group.types().len() as u64,
        CoreType::Module(declarations) => 1 + declarations.len() as u64,
    }
}

/// A type with the declarations inside it.
fn component_types(component: &ComponentType<'_>) -> u64 {
    let nested: u64 = match component {
        ComponentType::Component(declarations) => declarations
            .iter()
            .map(|declaration| match declaration {
                ComponentTypeDeclaration::CoreType(core) => core_types(core),
                ComponentTypeDeclaration::Type(nested) => component_types(nested),
                _ => 1,
            })
            .sum(),
        ComponentType::Instance(declarations) => declarations
            .iter()
            .map(|declaration| match declaration {
                InstanceTypeDeclaration::CoreType(core) => core_types(core),
                InstanceTypeDeclaration::Type(nested) => component_types(nested),
                _ => 1,
            })
            .sum(),
        ComponentType::Defined(_) | ComponentType::Func(_) | ComponentType::Resource { .. } => 0,
    };
    nested + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::tests::components::{component_around, module_of};

    fn excess(wasm: &[u8], bounds: CompileBounds) -> Option<Oversize> {
        check(wasm, &bounds).unwrap().err()
    }

    fn bounds() -> CompileBounds {
        CompileBounds {
            max_functions: 3,
            max_types: 2,
            max_code_bytes: 30,
            ..CompileBounds::default()
        }
    }

    #[test]
    fn size_counts_nested_modules_together() {
        // The body of an empty function: no locals, and the end.
        let module = module_of(2, &[0, 0x0b]);
        let one = component_around(&[&module]);
        let two = component_around(&[&module, &module]);
        assert_eq!(excess(&one, bounds()), None);
        assert_eq!(excess(&two, bounds()).unwrap().excess, Excess::Functions);
        let raised = CompileBounds {
            max_functions: 4,
            ..bounds()
        };
        assert_eq!(excess(&two, raised.clone()), None);
        let three = component_around(&[&module, &module, &module]);
        let raised = CompileBounds {
            max_functions: 6,
            ..raised
        };
        assert_eq!(excess(&three, raised).unwrap().excess, Excess::Types);
    }

    #[test]
    fn size_multiplies_instances_through_nesting() {
        let bounds = CompileBounds::default();
        assert_eq!(excess(&doubling(3), bounds.clone()), None);
        let many = excess(&doubling(22), bounds).unwrap();
        assert_eq!(many.excess, Excess::Instances);
    }

    /// Components in each other, each of which instantiates the next one twice.
    fn doubling(depth: u32) -> Vec<u8> {
        use wasm_encoder::{
            Component, ComponentInstanceSection, ModuleSection, NestedComponentSection,
        };

        let none: [(&str, wasm_encoder::ComponentExportKind, u32); 0] = [];
        let mut inner = Component::new();
        inner.section(&ModuleSection(&wasm_encoder::Module::new()));
        for _ in 0..depth {
            let mut outer = Component::new();
            outer.section(&NestedComponentSection(&inner));
            let mut instances = ComponentInstanceSection::new();
            instances.instantiate(0, none).instantiate(0, none);
            outer.section(&instances);
            inner = outer;
        }
        inner.finish()
    }

    #[test]
    fn size_error_names_the_setting() {
        let nops = [&[0][..], &[1; 40], &[0x0b]].concat();
        let large = component_around(&[&module_of(1, &nops)]);
        let error = excess(&large, bounds()).unwrap().to_string();
        assert!(
            error.contains("30 bytes of code") && error.contains("runtime.compile.max_code_bytes"),
            "{error}"
        );
    }
}
