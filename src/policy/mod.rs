//! The rules: `.bascule.yaml`, floors, grants, patterns. Pure; knows only the words of `ids`.

pub mod rules;
