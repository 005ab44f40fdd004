//! Counts what makes a component expensive to compile, in one pass over its bytes: functions, types
//! and bytes of code, over all nested modules and components.

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
}

impl Excess {
    const fn what(self) -> &'static str {
        match self {
            Self::Functions => "functions",
            Self::Types => "types",
            Self::CodeBytes => "bytes of code",
        }
    }

    const fn setting(self) -> &'static str {
        match self {
            Self::Functions => "max_functions",
            Self::Types => "max_types",
            Self::CodeBytes => "max_code_bytes",
        }
    }
}

#[derive(Default)]
struct Size {
    functions: u64,
    types: u64,
    code_bytes: u64,
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
        ];
        match counts.into_iter().find(|(_, count, bound)| count > bound) {
            Some((excess, _, bound)) => Err(Oversize { excess, bound }),
            None => Ok(()),
        }
    }

    fn add(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
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
