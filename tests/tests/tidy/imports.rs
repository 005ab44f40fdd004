//! The imports of a crate's files: which file uses which name of which other file.
//!
//! A path is resolved to the file whose module it names. If that file only re-exports the name, the
//! re-export is followed to the file that defines it. Test code does not count.

use std::collections::BTreeMap;

use super::code::{is_word, product_code};
use super::tree::{Source, is_test_file};

/// The files of one crate.
pub struct Crate {
    files: Vec<File>,
    /// Module paths and positions in `files`.
    modules: BTreeMap<Vec<String>, usize>,
}

struct File {
    path: String,
    module: Vec<String>,
    code: String,
    /// Names that the file imports, and the absolute paths behind them. A glob has the name `*`.
    imports: Vec<(String, Vec<String>)>,
    paths: Vec<Vec<String>>,
}

/// One file uses a name of another file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    pub from: String,
    pub to: String,
    pub name: String,
}

/// How many re-exports are followed.
const MAX_REEXPORTS: usize = 8;

impl Crate {
    /// Reads the files below the source folder of a crate, such as `host/src`.
    pub fn read(folder: &str, sources: Vec<Source>) -> Self {
        let product = sources
            .into_iter()
            .filter(|source| !is_test_file(&source.path));
        let mut files: Vec<File> = product.map(|source| File::read(folder, source)).collect();
        let modules: BTreeMap<_, _> = files
            .iter()
            .enumerate()
            .filter(|(_, file)| !file.path.ends_with("/main.rs"))
            .map(|(at, file)| (file.module.clone(), at))
            .collect();
        for file in &mut files {
            file.find_paths(&modules);
        }
        Self { files, modules }
    }

    /// All absolute paths that each file uses: the file, its module, and the paths.
    pub fn paths(&self) -> impl Iterator<Item = (&str, &[String], &[Vec<String>])> {
        let files = self.files.iter();
        files.map(|file| (&*file.path, &*file.module, &*file.paths))
    }

    /// Whether a path is a module.
    pub fn has_module(&self, path: &[String]) -> bool {
        self.modules.contains_key(path)
    }

    /// Every use between two files.
    pub fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for file in &self.files {
            for path in &file.paths {
                let Some((to, name)) = self.resolve(path, 0) else {
                    continue;
                };
                let to = &self.files[to].path;
                if *to != file.path {
                    uses.push(Use {
                        from: file.path.clone(),
                        to: to.clone(),
                        name,
                    });
                }
            }
        }
        uses.sort();
        uses.dedup();
        uses
    }

    /// The file that defines the item of a path, and the item. None for a path that is a module:
    /// the paths that begin with it count.
    fn resolve(&self, path: &[String], depth: usize) -> Option<(usize, String)> {
        let length = (0..path.len())
            .rev()
            .find(|length| self.has_module(&path[..*length]))?;
        if self.has_module(path) {
            return None;
        }
        let at = self.modules[&path[..length]];
        let file = &self.files[at];
        let name = &path[length];
        if depth < MAX_REEXPORTS && !file.defines(name) {
            for (imported, target) in &file.imports {
                let target = match imported.as_str() {
                    "*" => [target.as_slice(), &path[length..]].concat(),
                    imported if imported == name => {
                        [target.as_slice(), &path[length + 1..]].concat()
                    }
                    _ => continue,
                };
                let found = self.resolve(&target, depth + 1);
                if let Some((at, name)) = found
                    && (imported != "*" || self.files[at].defines(&name))
                {
                    return Some((at, name));
                }
            }
        }
        Some((at, name.clone()))
    }
}

impl File {
    fn read(folder: &str, source: Source) -> Self {
        let within = source.path.trim_start_matches(folder).trim_matches('/');
        let within = within.trim_end_matches(".rs");
        let mut module: Vec<String> = within.split('/').map(str::to_owned).collect();
        if matches!(
            module.last().map(String::as_str),
            Some("mod" | "lib" | "main")
        ) {
            module.pop();
        }
        Self {
            code: product_code(&source.text),
            path: source.path,
            module,
            imports: Vec::new(),
            paths: Vec::new(),
        }
    }

    /// Whether the file has an item with this name.
    fn defines(&self, name: &str) -> bool {
        const KINDS: [&str; 9] = [
            "struct",
            "enum",
            "trait",
            "type",
            "fn",
            "const",
            "static",
            "union",
            "macro_rules!",
        ];
        self.code.match_indices(name).any(|(at, _)| {
            let (before, after) = (&self.code[..at], &self.code[at + name.len()..]);
            !after.as_bytes().first().is_some_and(|byte| is_word(*byte))
                && KINDS.iter().any(|kind| {
                    before
                        .trim_end()
                        .strip_suffix(kind)
                        .is_some_and(|rest| !rest.as_bytes().last().is_some_and(|b| is_word(*b)))
                })
        })
    }

    /// Finds the imports first, because other paths can begin with an imported module.
    fn find_paths(&mut self, modules: &BTreeMap<Vec<String>, usize>) {
        let code = self.code.clone();
        let tokens = tokens(&code);
        let mut at = 0;
        let mut inline = Vec::new();
        while at < tokens.len() {
            match tokens[at] {
                "use" => {
                    let end = at
                        + tokens[at..]
                            .iter()
                            .take_while(|token| **token != ";")
                            .count();
                    self.read_use(&tokens[at + 1..end], modules);
                    at = end;
                }
                // A visibility such as `pub(in crate::gate)` uses nothing.
                "pub" if tokens.get(at + 1) == Some(&"(") => {
                    at += tokens[at..]
                        .iter()
                        .take_while(|token| **token != ")")
                        .count();
                }
                token if is_name(token) && tokens.get(at + 1) == Some(&"::") => {
                    let mut path = vec![token.to_owned()];
                    while tokens.get(at + 1) == Some(&"::")
                        && tokens.get(at + 2).is_some_and(|token| is_name(token))
                    {
                        path.push(tokens[at + 2].to_owned());
                        at += 2;
                    }
                    inline.push(path);
                    at += 1;
                }
                _ => at += 1,
            }
        }
        for path in inline {
            let import = self.imports.iter().find(|(name, _)| *name == path[0]);
            let absolute = match import {
                Some((_, target)) if modules.contains_key(target) => {
                    Some([target.as_slice(), &path[1..]].concat())
                }
                Some(_) => None,
                None => self.absolute(&path, modules),
            };
            self.paths.extend(absolute);
        }
    }

    fn read_use(&mut self, tokens: &[&str], modules: &BTreeMap<Vec<String>, usize>) {
        let mut leaves = Vec::new();
        use_leaves(tokens, &[], &mut leaves);
        for (path, alias) in leaves {
            let glob = path.last().is_some_and(|last| last == "*");
            let named = if glob { &path[..path.len() - 1] } else { &path };
            let Some(absolute) = self.absolute(named, modules) else {
                continue;
            };
            let name = if glob {
                "*".to_owned()
            } else {
                alias
                    .or_else(|| absolute.last().cloned())
                    .unwrap_or_default()
            };
            self.imports.push((name, absolute.clone()));
            if !glob {
                self.paths.push(absolute);
            }
        }
    }

    /// The path from the root of the crate; none for a path into another crate.
    fn absolute(
        &self,
        path: &[String],
        modules: &BTreeMap<Vec<String>, usize>,
    ) -> Option<Vec<String>> {
        let (mut base, mut rest) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (self.module.clone(), &path[1..]),
            "super" => (self.module.clone(), path),
            first => {
                let mut child = self.module.clone();
                child.push(first.to_owned());
                if !modules.contains_key(&child) {
                    return None;
                }
                (self.module.clone(), path)
            }
        };
        while rest.first().is_some_and(|segment| segment == "super") {
            base.pop()?;
            rest = &rest[1..];
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }
}

/// The paths of a `use` tree, and their aliases. `{self}` stands for the path before it.
fn use_leaves(tokens: &[&str], prefix: &[String], leaves: &mut Vec<(Vec<String>, Option<String>)>) {
    let mut path = prefix.to_vec();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            "{" => {
                let inner = &tokens[at + 1..tokens.len() - 1];
                let mut depth = 0;
                let parts = inner.split(|token| {
                    match *token {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        _ => {}
                    }
                    *token == "," && depth == 0
                });
                for part in parts.filter(|part| !part.is_empty()) {
                    use_leaves(part, &path, leaves);
                }
                return;
            }
            "as" => {
                let alias = tokens.get(at + 1).map(|alias| (*alias).to_owned());
                leaves.push((path, alias));
                return;
            }
            "self" if at == 0 && !prefix.is_empty() => {}
            token if token == "*" || is_name(token) => path.push(token.to_owned()),
            _ => {}
        }
        at += 1;
    }
    leaves.push((path, None));
}

/// Names, `::`, and single characters.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii() && is_word(first as u8) {
            rest.bytes().take_while(|byte| is_word(*byte)).count()
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

fn is_name(token: &str) -> bool {
    token.bytes().all(is_word) && !token.starts_with(|first: char| first.is_ascii_digit())
}

/// A crate for the tests of the checks.
#[cfg(test)]
pub fn example(files: &[(&str, &str)]) -> Crate {
    let sources = files.iter().map(|(path, text)| Source {
        path: format!("host/src/{path}"),
        text: (*text).to_owned(),
    });
    Crate::read("host/src", sources.collect())
}

#[test]
fn uses_are_resolved_to_the_defining_file() {
    let krate = example(&[
        ("lib.rs", "mod a;\nmod b;"),
        (
            "a/mod.rs",
            "mod deep;\npub use deep::{Deep, other as Alias};\npub struct Top;",
        ),
        ("a/deep.rs", "pub struct Deep;\npub fn other() {}"),
        (
            "b.rs",
            "use crate::{a::{self, Deep}};\nuse super::a::Alias;\npub(in crate::a) fn f() {\n\
             a::Top; crate::a::deep::other(); }",
        ),
    ]);
    let uses: Vec<_> = krate
        .uses()
        .into_iter()
        .map(|used| (used.to, used.name))
        .collect();
    let expected = [
        ("host/src/a/deep.rs", "Deep"),
        ("host/src/a/deep.rs", "other"),
        ("host/src/a/deep.rs", "Deep"),
        ("host/src/a/deep.rs", "other"),
        ("host/src/a/mod.rs", "Top"),
    ];
    assert_eq!(
        uses,
        expected.map(|(to, name)| (to.to_owned(), name.to_owned()))
    );
}
