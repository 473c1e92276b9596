//! Names of a CEL expression that nothing has: the engine finds them when it comes to them, and one side of a condition it
//! may not come to for a year.

use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr};
use cel::{Context, Env, IdedExpr};

/// The first that is not there, in words. `given` are the variables.
pub(super) fn unknown(expression: &IdedExpr, given: &[&str]) -> Option<String> {
    let mut bound: Vec<String> = given.iter().map(|name| (*name).to_owned()).collect();
    Look { env: Arc::new(Env::stdlib()) }.at(expression, &mut bound)
}

struct Look {
    env: Arc<Env>,
}

impl Look {
    fn at(&self, expression: &IdedExpr, bound: &mut Vec<String>) -> Option<String> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => None,
            Expr::Ident(name) => {
                let is_there = bound.contains(name) || self.env.types().find_type(name).is_some();
                (!is_there).then(|| format!("there is no `{name}`"))
            }
            Expr::Select(select) => self.at(&select.operand, bound),
            Expr::Call(call) => {
                let target = call.target.as_deref();
                // `optional.of(x)`: a function of a longer name, and no variable.
                let whose = target.and_then(|target| match &target.expr {
                    Expr::Ident(name) if !bound.contains(name) => Some(format!("{name}.{}", call.func_name)),
                    _ => None,
                });
                if !whose.as_deref().is_some_and(|name| self.has(name)) {
                    if !self.has(&call.func_name) {
                        return Some(format!("there is no function `{}`", call.func_name));
                    }
                    let missing = target.and_then(|target| self.at(target, bound));
                    if missing.is_some() {
                        return missing;
                    }
                }
                call.args.iter().find_map(|one| self.at(one, bound))
            }
            Expr::List(list) => list.elements.iter().find_map(|one| self.at(one, bound)),
            Expr::Map(map) => map.entries.iter().find_map(|one| self.entry(&one.expr, bound)),
            Expr::Struct(made) => made.entries.iter().find_map(|one| self.entry(&one.expr, bound)),
            Expr::Comprehension(loop_) => {
                let outer = self.at(&loop_.iter_range, bound).or_else(|| self.at(&loop_.accu_init, bound));
                let before = bound.len();
                bound.push(loop_.accu_var.clone());
                let result = self.at(&loop_.result, bound);
                bound.push(loop_.iter_var.clone());
                bound.extend(loop_.iter_var2.clone());
                let inner = self.at(&loop_.loop_cond, bound).or_else(|| self.at(&loop_.loop_step, bound));
                bound.truncate(before);
                outer.or(inner).or(result)
            }
        }
    }

    fn entry(&self, entry: &EntryExpr, bound: &mut Vec<String>) -> Option<String> {
        match entry {
            EntryExpr::StructField(field) => self.at(&field.value, bound),
            EntryExpr::MapEntry(entry) => self.at(&entry.key, bound).or_else(|| self.at(&entry.value, bound)),
        }
    }

    /// Operators are not written as names.
    fn has(&self, function: &str) -> bool {
        let is_word = function.starts_with(|c: char| c.is_ascii_alphabetic());
        // The engine tells of a function by refusing another of its name.
        !is_word || Context::with_env(self.env.clone()).add_function(function, |n: i64| n).is_err()
    }
}
