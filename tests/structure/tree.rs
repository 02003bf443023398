//! The modules of a crate: their items, their imports, and the paths in their code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, Meta, UseTree};

use crate::sources::Sources;

pub type ModuleId = usize;

/// The root module of every crate.
pub const ROOT: ModuleId = 0;

/// All modules of a crate. Modules for tests alone are left out.
#[derive(Default)]
pub struct Tree {
    pub modules: Vec<Module>,
    /// Macros by name, with the module that defines them.
    pub macros: BTreeMap<String, Vec<ModuleId>>,
    /// Macros with `#[macro_export]`: items of the root.
    pub exported_macros: BTreeMap<String, ModuleId>,
}

/// One module: a file, or a block in one.
pub struct Module {
    pub parent: Option<ModuleId>,
    pub file: PathBuf,
    pub children: BTreeMap<String, ModuleId>,
    /// Names of the functions, types, constants, traits and macros that it declares.
    pub items: BTreeSet<String>,
    /// Named imports: the new name and the path.
    pub uses: Vec<(String, Vec<String>)>,
    /// Modules and enums of which everything is imported.
    pub globs: Vec<Vec<String>>,
    /// Imports inside function bodies: not visible from other modules.
    pub local_uses: Vec<(String, Vec<String>)>,
    pub mentions: Vec<Mention>,
    /// Names that the code uses without a path.
    pub bare_names: BTreeSet<String>,
}

/// A path that the code of a module names.
pub struct Mention {
    pub path: Vec<String>,
    pub line: usize,
    pub kind: MentionKind,
}

#[derive(Clone, Copy, PartialEq)]
pub enum MentionKind {
    /// In a `use`.
    Use,
    /// In a type, an expression or the arguments of a macro.
    Path,
    /// `use path::*`.
    Glob,
    /// The name of a macro that is called.
    Macro,
}

impl Tree {
    /// Reads the crate with the root file `root`.
    pub fn read(sources: &dyn Sources, root: &Path) -> Result<Self, String> {
        let mut tree = Self::default();
        let folder = root.parent().unwrap_or(Path::new("")).to_path_buf();
        tree.read_file(sources, root.to_path_buf(), folder, None)?;
        Ok(tree)
    }

    /// Reads `file`, whose child modules lie in `folder`.
    fn read_file(
        &mut self,
        sources: &dyn Sources,
        file: PathBuf,
        folder: PathBuf,
        parent: Option<ModuleId>,
    ) -> Result<ModuleId, String> {
        let text = sources.read(&file).ok_or_else(|| format!("{}: no such file", file.display()))?;
        let parsed = syn::parse_file(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        self.read_module(sources, file, folder, parent, parsed.items)
    }

    fn read_module(
        &mut self,
        sources: &dyn Sources,
        file: PathBuf,
        folder: PathBuf,
        parent: Option<ModuleId>,
        items: Vec<Item>,
    ) -> Result<ModuleId, String> {
        let id = self.modules.len();
        self.modules.push(Module {
            parent,
            file: file.clone(),
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            uses: Vec::new(),
            globs: Vec::new(),
            local_uses: Vec::new(),
            mentions: Vec::new(),
            bare_names: BTreeSet::new(),
        });
        for item in items {
            if is_for_tests(attributes(&item)) {
                continue;
            }
            match item {
                Item::Mod(child) => self.read_child(sources, &file, &folder, id, child)?,
                Item::Use(item) => {
                    let line = item.use_token.span.start().line;
                    if item.leading_colon.is_none() {
                        let module = &mut self.modules[id];
                        take_use(
                            &item.tree,
                            Vec::new(),
                            line,
                            &mut module.uses,
                            &mut module.globs,
                            &mut module.mentions,
                        );
                    }
                }
                Item::Macro(item) if is_list_of_folder(&item) => {
                    for child in modules_beside(sources, &file) {
                        self.read_child(sources, &file, &folder, id, child)?;
                    }
                }
                item => self.read_item(id, &item),
            }
        }
        Ok(id)
    }

    fn read_child(
        &mut self,
        sources: &dyn Sources,
        file: &Path,
        folder: &Path,
        parent: ModuleId,
        item: ItemMod,
    ) -> Result<(), String> {
        let name = name_of(&item.ident);
        let inner = folder.join(&name);
        let child = if let Some((_, items)) = item.content {
            self.read_module(sources, file.to_path_buf(), inner, Some(parent), items)?
        } else if let Some(path) = explicit_path(&item.attrs) {
            let path = file.parent().unwrap_or(Path::new("")).join(path);
            let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
            self.read_file(sources, path, folder, Some(parent))?
        } else {
            let beside = inner.with_extension("rs");
            let path = if sources.read(&beside).is_some() { beside } else { inner.join("mod.rs") };
            self.read_file(sources, path, inner, Some(parent))?
        };
        self.modules[parent].children.insert(name, child);
        Ok(())
    }

    fn read_item(&mut self, id: ModuleId, item: &Item) {
        if let Some(name) = declared_name(item) {
            if let Item::Macro(definition) = item {
                self.macros.entry(name.clone()).or_default().push(id);
                if definition.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export")) {
                    self.exported_macros.insert(name.clone(), id);
                }
            }
            self.modules[id].items.insert(name);
        }
        Visitor { module: &mut self.modules[id] }.visit_item(item);
    }
}

/// Collects the paths of one item.
struct Visitor<'a> {
    module: &'a mut Module,
}

impl Visitor<'_> {
    fn mention(&mut self, path: Vec<String>, line: usize, kind: MentionKind) {
        self.module.mentions.push(Mention { path, line, kind });
    }

    /// Finds paths in the arguments of a macro, which are tokens only.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is_punct = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == sign);
        let is_separator = |at: usize| is_punct(at, ':') && is_punct(at + 1, ':');
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let is_continued = at >= 2 && is_separator(at - 2);
                    let mut path = vec![name_of(first)];
                    while is_separator(at + 1)
                        && let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                    {
                        path.push(name_of(next));
                        at += 3;
                    }
                    if !is_continued {
                        let line = first.span().start().line;
                        if is_punct(at + 1, '!') {
                            self.mention(path, line, MentionKind::Macro);
                        } else if path.len() > 1 {
                            self.mention(path, line, MentionKind::Path);
                        } else {
                            self.module.bare_names.extend(path);
                        }
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        if let Item::Use(item) = item {
            let line = item.use_token.span.start().line;
            let module = &mut *self.module;
            take_use(
                &item.tree,
                Vec::new(),
                line,
                &mut module.local_uses,
                &mut module.globs,
                &mut module.mentions,
            );
        }
        visit::visit_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() == 1 {
            self.module.bare_names.insert(name_of(&path.segments[0].ident));
        }
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let line = path.segments[0].ident.span().start().line;
            self.mention(
                path.segments.iter().map(|segment| name_of(&segment.ident)).collect(),
                line,
                MentionKind::Path,
            );
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let line = call.path.segments[0].ident.span().start().line;
        let path = call.path.segments.iter().map(|segment| name_of(&segment.ident)).collect();
        self.mention(path, line, MentionKind::Macro);
        self.tokens(call.tokens.clone());
    }

    /// An attribute names no item of the crate.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    /// `pub(in path)` is no import.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}

/// Records the imports of a `use`, below the path `prefix`.
fn take_use(
    tree: &UseTree,
    mut prefix: Vec<String>,
    line: usize,
    uses: &mut Vec<(String, Vec<String>)>,
    globs: &mut Vec<Vec<String>>,
    mentions: &mut Vec<Mention>,
) {
    let mut take = |name: String, path: Vec<String>, line| {
        uses.push((name, path.clone()));
        mentions.push(Mention { path, line, kind: MentionKind::Use });
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(name_of(&path.ident));
            take_use(&path.tree, prefix, line, uses, globs, mentions);
        }
        UseTree::Name(name) => {
            let line = name.ident.span().start().line;
            if name.ident != "self" {
                prefix.push(name_of(&name.ident));
            }
            take(prefix.last().cloned().unwrap_or_default(), prefix, line);
        }
        UseTree::Rename(rename) => {
            let line = rename.ident.span().start().line;
            if rename.ident != "self" {
                prefix.push(name_of(&rename.ident));
            }
            take(name_of(&rename.rename), prefix, line);
        }
        UseTree::Glob(_) => {
            globs.push(prefix.clone());
            mentions.push(Mention { path: prefix, line, kind: MentionKind::Glob });
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                take_use(tree, prefix.clone(), line, uses, globs, mentions);
            }
        }
    }
}

/// Returns the name without the `r#` of a raw identifier.
fn name_of(ident: &Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").map_or(name.clone(), str::to_owned)
}

fn declared_name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name_of(ident))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Returns whether the item is compiled for tests alone: `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, ...))]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    fn needs_test(meta: &Meta) -> bool {
        match meta {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("all") => list
                .parse_args_with(syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated)
                .is_ok_and(|parts| parts.iter().any(needs_test)),
            _ => false,
        }
    }
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<Meta>().is_ok_and(|meta| needs_test(&meta)))
    })
}

/// Returns whether the item includes a file that the build script made: a list of modules.
fn is_list_of_folder(item: &syn::ItemMacro) -> bool {
    item.mac.path.is_ident("include") && item.mac.tokens.to_string().contains("OUT_DIR")
}

/// Returns the modules of such a list: all files in the folder of `file`, which is a `mod.rs`.
fn modules_beside(sources: &dyn Sources, file: &Path) -> Vec<ItemMod> {
    let names = sources.list(file.parent().unwrap_or(Path::new("")));
    let modules = names.iter().filter_map(|name| name.strip_suffix(".rs")).filter(|name| *name != "mod");
    modules.filter_map(|name| syn::parse_str(&format!("mod {name};")).ok()).collect()
}

/// Returns the path of `#[path = "..."]`.
fn explicit_path(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("path") => match &meta.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}
