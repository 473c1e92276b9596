//! One kustomization after the other, each in kustomize's order: resources, generators, components, then what alters
//! them. Hashes and references come last, once for the whole.

use std::collections::HashMap;

use super::budget::{Budget, LEVELS};
use super::facts::Facts;
use super::object::{Object, Objects};
use super::written::{Kustomization, Labels};
use super::{Outside, fields, generate, images, object, outside, patches, references};
use crate::render::closure::KUSTOMIZATIONS;
use crate::render::paths::{is_remote, join, within};

pub(super) fn build(files: &[(String, Vec<u8>)], folder: &str) -> Result<Vec<Object>, Outside> {
    let files = files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
    let mut build = Build { files, budget: Budget::new(), open: vec![folder.to_owned()] };
    let root = build.kustomization(folder)?;
    if root.is_component() {
        return outside("a component is rendered by itself");
    }
    let mut objects = build.target(folder, &root, Objects::default(), 0)?.list;
    for object in objects.iter_mut().filter(|object| object.hashed) {
        let name = format!("{}-{}", object.name(), generate::hash(object)?);
        object.rename(name, &mut build.budget)?;
    }
    references::follow(&mut objects, &mut build.budget)?;
    if objects.is_empty() {
        return outside("there are no objects");
    }
    objects.iter().try_for_each(Object::check)?;
    Ok(objects)
}

/// The files, and what may still be spent.
pub(super) struct Build<'f> {
    files: HashMap<&'f str, &'f [u8]>,
    pub(super) budget: Budget,
    /// The folders on the way to the one at hand.
    open: Vec<String>,
}

impl<'f> Build<'f> {
    /// A file that a kustomization names. kustomize reads none outside its folder.
    pub(super) fn file(&self, folder: &str, name: &str) -> Result<&'f [u8], Outside> {
        let path = join(folder, name).filter(|_| !is_remote(name));
        let inside =
            |path: &String| folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        match path.filter(inside).and_then(|path| self.files.get(path.as_str()).copied()) {
            Some(content) => Ok(content),
            None => outside("a file is missing, or not in the kustomization's folder"),
        }
    }

    fn kustomization(&mut self, folder: &str) -> Result<Kustomization, Outside> {
        self.budget.visit()?;
        let mut found = KUSTOMIZATIONS.iter().filter_map(|name| self.files.get(within(folder, name).as_str()));
        match (found.next().copied(), found.next()) {
            (Some(content), None) => Kustomization::read(content, &mut self.budget),
            _ => outside("a folder has no kustomization, or several"),
        }
    }

    /// What a kustomization makes of `objects`: nothing yet, or for a component those of who names it.
    fn target(
        &mut self,
        folder: &str,
        kustomization: &Kustomization,
        mut objects: Objects,
        level: usize,
    ) -> Result<Objects, Outside> {
        if level > LEVELS {
            return outside("kustomizations are nested too deeply");
        }
        for name in kustomization.resources.iter().chain(&kustomization.bases) {
            objects.append(self.resource(folder, name, level)?)?;
        }
        let mut objects = generate::generate(self, folder, kustomization, objects)?;
        for name in &kustomization.components {
            let at = self.folder(folder, name)?;
            let component = self.kustomization(&at)?;
            if !component.is_component() {
                return outside("a kustomization is named as a component");
            }
            objects = self.enter(&at, &component, objects, level)?;
        }
        self.alter(folder, kustomization, objects)
    }

    fn resource(&mut self, folder: &str, name: &str, level: usize) -> Result<Vec<Object>, Outside> {
        let path = join(folder, name).filter(|_| !is_remote(name) && !name.is_empty());
        let Some(path) = path else { return outside("a resource is not in the repository") };
        if self.files.contains_key(path.as_str()) {
            let content = self.file(folder, name)?;
            return object::read(content, &mut self.budget);
        }
        let base = self.kustomization(&path)?;
        if base.is_component() {
            return outside("a component is named as a resource");
        }
        Ok(self.enter(&path, &base, Objects::default(), level)?.list)
    }

    /// kustomize takes a folder that holds the one at hand, or is it, for a circle.
    fn enter(
        &mut self,
        folder: &str,
        kustomization: &Kustomization,
        objects: Objects,
        level: usize,
    ) -> Result<Objects, Outside> {
        let holds = |open: &String| {
            folder.is_empty() || open.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.open.iter().any(holds) {
            return outside("a folder that holds this one is named as its base");
        }
        self.open.push(folder.to_owned());
        let made = self.target(folder, kustomization, objects, level + 1)?;
        self.open.pop();
        Ok(made)
    }

    fn folder(&self, folder: &str, name: &str) -> Result<String, Outside> {
        match join(folder, name).filter(|path| !is_remote(name) && !self.files.contains_key(path.as_str())) {
            Some(path) => Ok(path),
            None => outside("a component is not a folder of the repository"),
        }
    }

    fn alter(&mut self, folder: &str, kustomization: &Kustomization, objects: Objects) -> Result<Objects, Outside> {
        let Kustomization { namespace, name_prefix, name_suffix, .. } = kustomization;
        let mut list = objects.list;
        // Each is looked at whatever is said here: to be told from the others, and to be what it must be.
        for object in &list {
            let entries = ["labels", "annotations"].into_iter().filter_map(|what| object.map(what));
            self.budget.spend(4 + entries.map(serde_json::Map::len).sum::<usize>())?;
        }
        patches::apply(self, folder, kustomization, &mut list)?;
        if !namespace.is_empty() {
            list = fields::namespace(list, namespace, &mut self.budget)?;
        }
        for object in &mut list {
            affix(object, name_prefix, name_suffix, &mut self.budget)?;
        }
        self.label(kustomization, &mut list)?;
        let facts = Facts::get();
        for object in &mut list {
            for (key, value) in &kustomization.common_annotations {
                fields::entry(object, &facts.common_annotations, key, value, &mut self.budget)?;
            }
        }
        patches::apply_json6902(self, folder, kustomization, &mut list)?;
        for replicas in &kustomization.replicas {
            fields::replicas(&mut list, replicas, &mut self.budget)?;
        }
        for image in &kustomization.images {
            images::set(&mut list, image, &mut self.budget)?;
        }
        list.iter().try_for_each(Object::check)?;
        Objects::new(list)
    }

    fn label(&mut self, kustomization: &Kustomization, list: &mut [Object]) -> Result<(), Outside> {
        let facts = Facts::get();
        let common =
            Labels { pairs: kustomization.common_labels.clone(), include_selectors: true, ..Labels::default() };
        for labels in kustomization.labels.iter().chain([&common]) {
            let mut specs = Vec::new();
            if labels.include_selectors {
                specs.extend(facts.common_labels.iter().cloned());
            } else {
                specs.extend(labels.include_templates.then_some(&facts.template_labels).into_iter().flatten().cloned());
                let claims = labels.include_volume_claim_templates.then_some(&facts.volume_claim_template_labels);
                specs.extend(claims.into_iter().flatten().cloned());
                specs.push(fields::own_labels());
            }
            self.budget.spend(specs.len().saturating_mul(4))?;
            for object in list.iter_mut() {
                for (key, value) in &labels.pairs {
                    fields::entry(object, &specs, key, value, &mut self.budget)?;
                }
            }
        }
        Ok(())
    }
}

/// Prefix and suffix. Names that mean something by themselves keep what they are.
fn affix(object: &mut Object, prefix: &str, suffix: &str, budget: &mut Budget) -> Result<(), Outside> {
    let first = object.first_id();
    let keeps = matches!(first.kind.as_str(), "CustomResourceDefinition" | "Namespace")
        || (first.kind == "APIService" && first.api_version.starts_with("apiregistration.k8s.io/"));
    if keeps {
        return Ok(());
    }
    if !prefix.is_empty() {
        budget.written(prefix.len())?;
        object.prefixes.push(prefix.to_owned());
        object.rename(format!("{prefix}{}", object.name()), budget)?;
    }
    if !suffix.is_empty() {
        budget.written(suffix.len())?;
        object.suffixes.push(suffix.to_owned());
        object.rename(format!("{}{suffix}", object.name()), budget)?;
    }
    Ok(())
}
