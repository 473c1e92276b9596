//! Renders what a closure names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::closure::{Closure, InputHash, read_one, too_many_bytes};
use super::judge::Judge;
use super::sandbox::{Ran, Sandbox};
use super::tools::{HELM, KUSTOMIZE, Tool, find};
use super::words::as_it_was;
use super::{Capabilities, Files, Limits, Programs, RenderError, chart, closure, overlay, remote, steady};
use crate::manifest::Dialect;
use crate::policy::code::order::{Answer, Order};
use crate::policy::code::{Matter, Opinion, Question};
use crate::policy::rules::{Environment, Helm};

/// What is rendered, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderInput {
    /// Folder, without leading or trailing slash; empty is the root.
    pub path: String,
    /// The environment's `helm:` block.
    pub helm: Option<Helm>,
    /// A chart's release name.
    pub release: String,
    /// A chart's release namespace.
    pub namespace: String,
    /// What a chart that asks is told of the cluster; without it, what helm was built with.
    pub cluster: Option<Capabilities>,
}

impl RenderInput {
    /// What an environment renders.
    pub fn of(environment: &Environment) -> Self {
        let release = environment.helm.as_ref().and_then(|helm| helm.release.clone());
        Self {
            path: environment.path.clone(),
            helm: environment.helm.clone(),
            release: release.unwrap_or_else(|| environment.name.to_string()),
            namespace: environment.target.namespace.clone(),
            cluster: None,
        }
    }

    pub(super) fn values(&self) -> &[String] {
        self.helm.as_ref().map(|helm| helm.values.as_slice()).unwrap_or_default()
    }
}

/// What a render gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Texts to parse, each with the file it is from.
    pub documents: Vec<(String, Vec<u8>)>,
    /// How to read them.
    pub dialect: Dialect,
    /// File → content id: what was read.
    pub reads: BTreeMap<String, String>,
    /// Who rendered, with version.
    pub renderer: String,
    /// How long it took.
    pub took: Duration,
}

/// Renders folders. Holds the programs, the walls and the bounds; one for the whole process.
#[derive(Debug)]
pub struct Renderer {
    helm: Result<Tool, String>,
    kustomize: Result<Tool, String>,
    limits: Limits,
    scratch: PathBuf,
    /// A renderer is bound by the processor: more of them than processors only take memory.
    slots: Arc<Semaphore>,
    renders: AtomicU64,
    judge: Judge,
}

impl Renderer {
    /// Finds the programs and tries them behind walls. Boxes are made in `scratch`, which has to exist. A missing
    /// program is an error only of what needs it.
    pub async fn new(programs: &Programs, scratch: &Path, limits: Limits) -> Self {
        let search = programs.search.as_ref();
        let (helm, kustomize) = tokio::join!(
            find(HELM, programs.helm.as_deref(), search, scratch, &limits),
            find(KUSTOMIZE, programs.kustomize.as_deref(), search, scratch, &limits),
        );
        let slots = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let judge = Judge::new(programs, scratch, &limits);
        let scratch = scratch.to_owned();
        Self {
            helm,
            kustomize,
            limits,
            scratch,
            slots: Arc::new(Semaphore::new(slots)),
            renders: AtomicU64::new(0),
            judge,
        }
    }

    /// Asks policies, in a box of their own: an answer for each, also for one that takes too long or too much.
    ///
    /// # Errors
    /// This machine's: there is no program to judge with, or no box.
    pub async fn judge(&self, order: &Order) -> Result<BTreeMap<String, Answer>, RenderError> {
        self.judge.carry_out(order).await
    }

    /// Asks policies about a change: an opinion for each of them.
    ///
    /// # Errors
    /// As [`Renderer::judge`].
    pub async fn opinions(
        &self,
        questions: Vec<Question>,
        matter: Matter,
    ) -> Result<BTreeMap<String, Opinion>, RenderError> {
        let answers = self.judge(&Order::Ask(questions, Box::new(matter))).await?;
        let opinion = |answer| match answer {
            Answer::Says(opinion) => opinion,
            Answer::Faults(_) | Answer::Tests(_) | Answer::Health(_) => {
                Opinion::broken("the answer is to another question")
            }
        };
        Ok(answers.into_iter().map(|(name, answer)| (name, opinion(answer))).collect())
    }

    /// `helm`, or why there is none.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn helm(&self) -> Result<&Tool, &str> {
        self.helm.as_ref().map_err(String::as_str)
    }

    /// `kustomize`, or why there is none.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn kustomize(&self) -> Result<&Tool, &str> {
        self.kustomize.as_ref().map_err(String::as_str)
    }

    /// How many renders were run, plain ones included.
    pub fn renders(&self) -> u64 {
        self.renders.load(Ordering::Relaxed)
    }

    /// What a render would read, and the hash of everything it depends on. Refuses what is never rendered.
    ///
    /// # Errors
    /// [`RenderError::Absent`] when there is no such folder; others as its `blame` says.
    pub async fn closure<F: Files>(&self, files: &F, input: &RenderInput) -> Result<Closure, RenderError> {
        // Without the program it is still known what would be read; the render then says what is missing.
        let version = |dialect| self.version(dialect).unwrap_or_else(|_| "none".to_owned());
        closure::closure(files, input, &self.limits, version).await
    }

    /// Renders. `closure` has to be of the same files and input.
    ///
    /// # Errors
    /// [`RenderError`]; [`RenderError::Empty`] when nothing comes out.
    pub async fn render<F: Files>(
        &self,
        files: &F,
        input: &RenderInput,
        closure: &Closure,
    ) -> Result<Rendered, RenderError> {
        let renderer = self.title(closure.kind)?;
        let mut renderer = match (&input.cluster, closure.asks_cluster) {
            (Some(cluster), true) => format!("{renderer} {}", cluster.title()),
            (None, true) => format!("{renderer} for the Kubernetes it was built for, since no cluster was asked"),
            (_, false) => renderer,
        };
        let contents = self.contents(files, closure).await?;
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = Arc::new(slot.map_err(|_| RenderError::Machine("it is closed".to_owned()))?);
        self.renders.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let documents = match closure.kind {
            Dialect::Plain => contents,
            Dialect::Kustomize => {
                let contents = Arc::new(contents);
                let text = match self.by_core(&contents, input, &slot).await {
                    Some(text) => {
                        renderer = format!("Bascule's kustomize core, checked against {renderer}");
                        text
                    }
                    None => {
                        let tool = self.tool(&self.kustomize)?;
                        let sandbox = self.fill(&contents)?;
                        let args = vec!["build".to_owned(), sandbox.inside(tool.level, &input.path)];
                        self.run(tool, &sandbox, &args).await?
                    }
                };
                vec![(format!("{} (kustomize)", input.path), text)]
            }
            Dialect::Helm => {
                let tool = self.tool(&self.helm)?;
                let text = self.templated(tool, self.fill(&contents)?, input).await?;
                if closure.is_unsteady
                    && let Some(what) = self.wavers(tool, contents, input, &text).await?
                {
                    return Err(RenderError::Unsteady { what });
                }
                vec![(format!("{} (helm)", remote::shown(&input.path)), text)]
            }
        };
        if documents.iter().all(|(_, text)| is_blank(text)) {
            return Err(RenderError::Empty { path: remote::shown(&input.path) });
        }
        let reads = closure.reads.clone();
        Ok(Rendered { documents, dialect: closure.kind, reads, renderer, took: started.elapsed() })
    }

    /// The hash of a closure's render when a chart that asks is told this of the cluster.
    pub fn hash_with(&self, closure: &Closure, input: &RenderInput) -> InputHash {
        let version = self.version(closure.kind).unwrap_or_else(|_| "none".to_owned());
        closure.hashed(&version, input)
    }

    /// What the core makes of an overlay. `None` is for the tool: it is outside the core, or the tool is of a version
    /// that the core was not judged by.
    async fn by_core(
        &self,
        contents: &Arc<Vec<(String, Vec<u8>)>>,
        input: &RenderInput,
        slot: &Arc<OwnedSemaphorePermit>,
    ) -> Option<Vec<u8>> {
        if !self.has_core() {
            return None;
        }
        let (contents, path, most) = (Arc::clone(contents), input.path.clone(), self.limits.output);
        // Who asked may be gone before it ends, and a thread cannot be stopped: the slot is taken until it has ended.
        let slot = Arc::clone(slot);
        let built = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            overlay::build(&contents, &path, most)
        });
        match built.await {
            Ok(Ok(text)) => Some(text),
            Ok(Err(why)) => {
                tracing::debug!(path = %input.path, %why, "kustomize renders what is outside the core");
                None
            }
            Err(error) => {
                tracing::error!(path = %input.path, %error, "the kustomize core broke, and kustomize renders instead");
                None
            }
        }
    }

    fn has_core(&self) -> bool {
        self.kustomize.as_ref().is_ok_and(|tool| tool.version == overlay::JUDGE)
    }

    /// The title, as it goes into the hash of what a render depends on: whoever renders is part of it.
    fn version(&self, dialect: Dialect) -> Result<String, RenderError> {
        let title = self.title(dialect)?;
        let has_core = dialect == Dialect::Kustomize && self.has_core();
        Ok(if has_core { format!("{title}, core {}", overlay::VERSION) } else { title })
    }

    fn title(&self, dialect: Dialect) -> Result<String, RenderError> {
        match dialect {
            Dialect::Plain => Ok("plain".to_owned()),
            Dialect::Kustomize => self.tool(&self.kustomize).map(Tool::title),
            Dialect::Helm => self.tool(&self.helm).map(Tool::title),
        }
    }

    fn tool<'t>(&self, tool: &'t Result<Tool, String>) -> Result<&'t Tool, RenderError> {
        tool.as_ref().map_err(|why| RenderError::NoProgram(why.clone()))
    }

    async fn contents<F: Files>(&self, files: &F, closure: &Closure) -> Result<Vec<(String, Vec<u8>)>, RenderError> {
        let ids: Vec<String> = closure.reads.values().cloned().collect();
        files.expect(&ids).await?;
        let mut contents = Vec::with_capacity(ids.len());
        let mut bytes = 0;
        for (path, id) in &closure.reads {
            let content = read_one(files, path, id, &self.limits).await?;
            bytes += content.len() as u64;
            if bytes > self.limits.bytes {
                return Err(too_many_bytes(&self.limits));
            }
            contents.push((path.clone(), content));
        }
        Ok(contents)
    }

    fn fill(&self, contents: &[(String, Vec<u8>)]) -> Result<Sandbox, RenderError> {
        let sandbox = Sandbox::new(&self.scratch)?;
        contents.iter().try_for_each(|(path, content)| sandbox.put(path, content))?;
        Ok(sandbox)
    }

    async fn templated(&self, tool: &Tool, sandbox: Sandbox, input: &RenderInput) -> Result<Vec<u8>, RenderError> {
        let args = self.helm_args(tool, &sandbox, input)?;
        self.run(tool, &sandbox, &args).await
    }

    /// What is something else in another box, at another time, on a machine of another name. Where the other time is not
    /// understood, it is the time that went by.
    async fn wavers(
        &self,
        tool: &Tool,
        contents: Vec<(String, Vec<u8>)>,
        input: &RenderInput,
        first: &[u8],
    ) -> Result<Option<String>, RenderError> {
        let before = contents.clone();
        let later = self.fill(&steady::later(contents, &self.limits))?.elsewhere();
        let second = match self.templated(tool, later, input).await {
            Err(RenderError::Failed { .. }) => self.templated(tool, self.fill(&before)?.elsewhere(), input).await?,
            second => as_it_was(second?),
        };
        Ok(steady::difference(first, &second))
    }

    /// No cluster is asked (a chart that would is refused: `lookups.rs`), no name resolved, no hook run. CRDs and hooks are part of the output.
    fn helm_args(&self, tool: &Tool, sandbox: &Sandbox, input: &RenderInput) -> Result<Vec<String>, RenderError> {
        let mut args = vec!["template".to_owned(), "--include-crds".to_owned()];
        args.push(format!("--namespace={}", input.namespace));
        args.extend(input.cluster.iter().flat_map(Capabilities::arguments));
        for path in chart::values(input)? {
            args.push(format!("--values={}", sandbox.inside(tool.level, &path)));
        }
        args.extend(["--".to_owned(), input.release.clone(), sandbox.inside(tool.level, &input.path)]);
        Ok(args)
    }

    async fn run(&self, tool: &Tool, sandbox: &Sandbox, args: &[String]) -> Result<Vec<u8>, RenderError> {
        let ran = sandbox.run(tool.level, (tool.name, &tool.path), args, &self.limits).await?;
        if ran.ok { Ok(ran.out) } else { Err(self.failed(tool, sandbox, &ran)) }
    }

    fn failed(&self, tool: &Tool, sandbox: &Sandbox, ran: &Ran) -> RenderError {
        let limit =
            |what: &str, limit: String| RenderError::TooMuch { what: format!("{what} {} takes", tool.name), limit };
        if ran.err.contains("out of memory") || ran.err.contains("cannot allocate memory") {
            return limit("the memory", format!("{} MiB", self.limits.memory >> 20));
        }
        // How `unshare` reports that the kernel killed what it started.
        if ran.err.contains("sigprocmask unblock failed") || ran.err.contains("SIGXCPU") || ran.err.trim() == "Killed" {
            return limit("the processor time", format!("{} s", self.limits.cpu.as_secs()));
        }
        let root = sandbox.inside(tool.level, "");
        let said = ran.err.replace(&format!("{root}/"), "").replace(&root, ".");
        // From the error on: warnings come before it, advice for a terminal after.
        let lines: Vec<&str> = said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let from = lines.iter().position(|line| line.starts_with("Error")).unwrap_or(0);
        let lines = lines.iter().skip(from).filter(|line| !line.starts_with("Use --debug flag")).take(12).copied();
        let said: String = lines.collect::<Vec<_>>().join("\n").chars().take(1500).collect();
        let said: String = said.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
        let said = if said.trim().is_empty() { "it said nothing".to_owned() } else { said };
        RenderError::Failed { renderer: tool.title(), said }
    }
}

/// Nothing but comments, separators and space.
fn is_blank(text: &[u8]) -> bool {
    String::from_utf8_lossy(text)
        .lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line == "---" || line.starts_with('#'))
}

#[cfg(test)]
#[path = "renderer_tests.rs"]
mod tests;
