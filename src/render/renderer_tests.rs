//! The real programs, from `tools/.bin`.

use std::time::Duration;

use super::*;
use crate::manifest::{self, parse};
use crate::render::Wall;
use crate::render::files::memory::Memory;
use crate::render::walls::Level;

fn programs() -> Programs {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/.bin");
    Programs { helm: Some(tools.join("helm")), kustomize: Some(tools.join("kustomize")), ..Programs::default() }
}

struct Box_ {
    _scratch: tempfile::TempDir,
    renderer: Renderer,
}

async fn renderer_within(limits: Limits) -> Box_ {
    let scratch = tempfile::tempdir().unwrap();
    let renderer = Renderer::new(&programs(), scratch.path(), limits).await;
    Box_ { _scratch: scratch, renderer }
}

async fn renderer() -> Box_ {
    renderer_within(Limits::default()).await
}

fn input(path: &str) -> RenderInput {
    let words = |text: &str| text.to_owned();
    RenderInput { path: words(path), helm: None, release: words("shop"), namespace: words("shop-ns"), cluster: None }
}

impl Box_ {
    async fn render(&self, files: &Memory, input: &RenderInput) -> Result<String, RenderError> {
        let closure = self.renderer.closure(files, input).await?;
        let rendered = self.renderer.render(files, input, &closure).await?;
        Ok(rendered.documents.into_iter().map(|(_, text)| String::from_utf8(text).unwrap()).collect())
    }

    async fn said(&self, files: &Memory, input: &RenderInput) -> String {
        let said = self.render(files, input).await.unwrap_or_else(|error| format!("{:?}: {error}", error.blame()));
        // Whichever version is on this machine.
        [self.renderer.helm(), self.renderer.kustomize()]
            .into_iter()
            .flatten()
            .fold(said, |said, tool| said.replace(&tool.title(), tool.name))
    }
}

const WEB: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n";

fn chart(template: &str) -> Memory {
    Memory::new(&[("c/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.1.0"), ("c/templates/a.yaml", template)])
}

#[tokio::test]
async fn kustomize_helm_and_plain_folders_render() {
    let t = renderer().await;
    let files = Memory::new(&[
        ("base/kustomization.yaml", "resources: [web.yaml]"),
        ("base/web.yaml", WEB),
        ("env/kustomization.yaml", "namePrefix: x-\nresources: [../base]"),
        ("plain/b.yaml", "b: 1\n"),
        ("plain/a.yaml", "a: 1\n"),
    ]);
    let overlay = t.said(&files, &input("env")).await;
    assert!(overlay.contains("x-web"), "{overlay}");
    assert_eq!(t.said(&files, &input("plain")).await, "a: 1\nb: 1\n");
    let files = chart("x: {{ .Release.Name }}/{{ .Release.Namespace }}/{{ .Values.a }}")
        .with("c/crds/x.yaml", "crd: 1")
        .with("v.yaml", "a: v");
    let helm = Some(Helm { release: None, values: vec!["/v.yaml".to_owned()] });
    insta::assert_snapshot!(t.said(&files, &RenderInput { helm, ..input("c") }).await, @r#"
        ---
        # Source: shop/crds/x.yaml
        crd: 1
        ---
        # Source: shop/templates/a.yaml
        x: shop/shop-ns/v
    "#);
    assert_eq!(t.renderer.renders(), 3);
}

#[tokio::test]
async fn what_is_in_the_core_needs_no_process_and_it_is_said_who_rendered() {
    let t = renderer().await;
    let files = |key: &str| {
        let overlay = format!("namePrefix: x-\nresources: [web.yaml]\n{key}");
        Memory::new(&[("env/kustomization.yaml", overlay.as_str()), ("env/web.yaml", WEB)])
    };
    let render = async |files: &Memory| {
        let closure = t.renderer.closure(files, &input("env")).await.unwrap();
        let rendered = t.renderer.render(files, &input("env"), &closure).await.unwrap();
        let parsed = parse(&rendered.documents, rendered.dialect, &manifest::Limits::default()).unwrap();
        (rendered.renderer, parsed.into_iter().map(|one| one.json).collect::<Vec<_>>())
    };
    let (by_core, objects) = render(&files("")).await;
    let (by_tool, same) = render(&files("buildMetadata: []\n")).await;
    assert_eq!(objects, same);
    let tool = t.renderer.kustomize().unwrap();
    assert_eq!(by_tool, tool.title());
    if tool.version == overlay::JUDGE {
        assert_eq!(by_core, format!("Bascule's kustomize core, checked against {by_tool}"));
    }
}

#[tokio::test]
async fn the_same_content_has_the_same_hash_and_an_unread_file_changes_nothing() {
    let t = renderer().await;
    let files = chart("a: 1");
    let before = t.renderer.closure(&files, &input("c")).await.unwrap();
    let after = t.renderer.closure(&files.with("c/README.md", "new"), &input("c")).await.unwrap();
    assert_eq!(before, after);
    assert_eq!(t.renderer.renders(), 0, "finding out renders nothing");
}

#[tokio::test]
async fn rendering_to_nothing_is_an_error() {
    let t = renderer().await;
    let kustomize = Memory::new(&[("k/kustomization.yaml", "resources: []")]);
    let mut said = String::new();
    for (files, path) in [
        (chart("{{ if false }}a: 1{{ end }}"), "c"),
        (kustomize, "k"),
        (Memory::new(&[("p/a.yaml", "# x\n---\n")]), "p"),
    ] {
        said.push_str(&t.said(&files, &input(path)).await);
        said.push('\n');
    }
    insta::assert_snapshot!(said, @r#"
        Author: `c` renders to nothing
        Author: `k` renders to nothing
        Author: `p` renders to nothing
    "#);
}

#[tokio::test]
async fn errors_of_the_renderers_name_paths_of_the_repository() {
    let t = renderer().await;
    let cycle =
        Memory::new(&[("a/kustomization.yaml", "resources: [../b]"), ("b/kustomization.yaml", "resources: [../a]")]);
    let outside = Memory::new(&[("a/kustomization.yaml", "resources: [../x.yaml]"), ("x.yaml", WEB)]);
    let mut said = String::new();
    for (files, path) in
        [(cycle, "a"), (outside, "a"), (chart("{{ fail \"no such size\" }}"), "c"), (chart("{{ .Values.a.b }}"), "c")]
    {
        said.push_str(&t.said(&files, &input(path)).await);
        said.push('\n');
    }
    assert!(!said.contains("/tmp") && !said.contains("/files"), "{said}");
    insta::assert_snapshot!(said, @r#"
        Author: a/kustomization.yaml: what it names leads back to it: `a` → `b` → `a`
        Author: kustomize failed: Error: accumulating resources: accumulation err='accumulating resources from '../x.yaml': security; file 'x.yaml' is not in or below 'a'': must build at directory: 'x.yaml': file is not directory
        Author: helm failed: Error: execution error at (shop/templates/a.yaml:1:3): no such size
        Author: helm failed: Error: shop/templates/a.yaml:1:10
          executing "shop/templates/a.yaml" at <.Values.a.b>:
            nil pointer evaluating interface {}.b
    "#);
}

#[tokio::test]
async fn a_chart_sees_no_environment_no_cluster_no_names_and_no_other_file() {
    let t = renderer().await;
    let template = r#"a: {{ .Values | toJson }}
b: "{{ getHostByName "localhost" }}"
c: "{{ .Files.Get "../../../etc/passwd" }}{{ .Files.Get "/etc/passwd" }}"
d: {{ .Capabilities.APIVersions.Has "v1" }}"#;
    insta::assert_snapshot!(t.said(&chart(template), &input("c")).await, @r#"
        ---
        # Source: shop/templates/a.yaml
        a: {}
        b: ""
        c: ""
        d: true
    "#);
    for gone in ["env", "expandenv"] {
        let said = t.said(&chart(&format!("a: {{{{ {gone} \"HOME\" }}}}")), &input("c")).await;
        assert!(said.contains(&format!("function \"{gone}\" not defined")), "{said}");
    }
}

#[tokio::test]
async fn what_takes_too_much_is_stopped_and_named() {
    let small = Limits { cpu: Duration::from_secs(2), output: 1 << 20, memory: 256 << 20, ..Limits::default() };
    let t = renderer_within(small).await;
    let grow = "{{- $x := \"a\" }}{{- range until 40 }}{{ $x = print $x $x }}{{ end }}x: {{ $x }}";
    let spin = "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}";
    let print = "{{ range until 200000 }}{{ . }}: aaaaaaaaaaaaaa\n{{ end }}";
    let forever = "{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}";
    let mut said = String::new();
    for template in [grow, spin, print, forever] {
        let line = t.said(&chart(template), &input("c")).await;
        // helm's own words about the endless one are long.
        let line = line.split(" at <").next().unwrap_or(&line).to_owned();
        said.push_str(&line);
        said.push('\n');
    }
    insta::assert_snapshot!(said, @r#"
        Author: the memory helm takes is more than the limit of 256 MiB
        Author: the processor time helm takes is more than the limit of 2 s
        Author: what helm prints is more than the limit of 1 MiB
        Author: helm failed: Error: template: shop/templates/a.yaml:1:47: executing "shop/templates/a.yaml"
    "#);
}

/// A renderer that is itself hostile, or only broken, in place of helm.
async fn turned(what_it_does: &str, limits: Limits) -> Box_ {
    use std::os::unix::fs::PermissionsExt;
    let readable = std::fs::Permissions::from_mode(0o755);
    let scratch = tempfile::Builder::new().permissions(readable.clone()).tempdir().unwrap();
    let helm = scratch.path().join("helm");
    let script = format!("#!/bin/sh\n[ \"$1\" = version ] && {{ echo v3.99.0; exit; }}\n{what_it_does}\n");
    std::fs::write(&helm, script).unwrap();
    std::fs::set_permissions(&helm, readable).unwrap();
    let programs = Programs { helm: Some(helm), ..programs() };
    let renderer = Renderer::new(&programs, scratch.path(), limits).await;
    Box_ { _scratch: scratch, renderer }
}

#[tokio::test]
async fn a_renderer_that_hangs_forks_floods_or_says_nothing_costs_its_own_render() {
    let t = renderer().await;
    let limits = Limits { time: Duration::from_secs(3), output: 1 << 20, processes: 16, ..Limits::default() };
    // Seconds nobody else sleeps, so that what is left of them can be found.
    let mark = format!("8{:05}", std::process::id());
    let all = [
        format!("sleep {mark}"),
        format!("while :; do sleep {mark} & done"),
        format!("sleep {mark} >/dev/null 2>&1 & exit 0"),
        "yes".to_owned(),
        "yes >&2".to_owned(),
        "yes > \"$HOME/a\"".to_owned(),
        "exit 0".to_owned(),
        "echo '# nothing'".to_owned(),
        "exit 3".to_owned(),
    ]
    .map(|what_it_does| {
        let mark = &mark;
        async move {
            let hostile = turned(&what_it_does, limits).await;
            let said = hostile.said(&chart("a: 1"), &input("c")).await;
            let left = std::fs::read_dir(&hostile.renderer.scratch).unwrap().map(|one| one.unwrap().file_name());
            let left: Vec<_> = left.filter(|name| name != "helm").collect();
            assert!(left.is_empty(), "{what_it_does} left {left:?}");
            // How the shell says it is its own.
            let said = said.lines().next().unwrap_or_default().split(": fork").next().unwrap_or_default();
            format!("{}: {said}\n", what_it_does.replace(mark, "…"))
        }
    });
    let all = futures::future::join_all(all).await.concat();
    let sleeps = || {
        let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        all.filter(|one| {
            std::fs::read(one.path().join("cmdline"))
                .is_ok_and(|line| line.windows(mark.len()).any(|at| at == mark.as_bytes()))
        })
        .count()
    };
    // The kernel ends them by itself once the first is gone; it is not done the moment we are told of that.
    for _ in 0..1_000 {
        if sleeps() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(sleeps(), 0);
    insta::assert_snapshot!(all, @r#"
        sleep …: Weather: helm did not end within 3s
        while :; do sleep … & done: Weather: helm did not end within 3s
        sleep … >/dev/null 2>&1 & exit 0: Author: `c` renders to nothing
        yes: Author: what helm prints is more than the limit of 1 MiB
        yes >&2: Weather: helm did not end within 3s
        yes > "$HOME/a": Author: helm failed: File size limit exceeded
        exit 0: Author: `c` renders to nothing
        echo '# nothing': Author: `c` renders to nothing
        exit 3: Author: helm failed: it said nothing
    "#);
    // The next render is as ever.
    t.render(&chart("a: 1"), &input("c")).await.unwrap();
}

#[tokio::test]
async fn the_walls_on_this_machine_are_reported_as_they_are() {
    let t = renderer().await;
    // Asked by itself, without any of ours around it.
    let allowed = |args: &'static str| async move {
        let ran = tokio::process::Command::new("unshare").args(args.split(' ')).arg("true").output().await;
        ran.is_ok_and(|ran| ran.status.success())
    };
    let network = if allowed("-rn").await || allowed("-n").await { Wall::Up } else { Wall::Down };
    for tool in [t.renderer.helm().unwrap(), t.renderer.kustomize().unwrap()] {
        assert_eq!(tool.walls().network, network, "{}", tool.title());
    }
    let scratch = tempfile::tempdir().unwrap();
    let none = Renderer::new(&Programs::default(), scratch.path(), Limits::default()).await;
    insta::assert_snapshot!(none.helm().unwrap_err(), @"helm 3.14 or newer is needed, and is not on PATH");
    let wrong =
        Programs { helm: Some("/bin/true".into()), kustomize: Some("/nonexistent".into()), ..Programs::default() };
    let wrong = Renderer::new(&wrong, scratch.path(), Limits::default()).await;
    assert!(wrong.helm().unwrap_err().ends_with("/true does not tell its version"));
    insta::assert_snapshot!(wrong.kustomize().unwrap_err(), @"/nonexistent: No such file or directory (os error 2)");
}

/// helm fetches what a schema names. The closure refuses such a schema; here it is put into the box all the same, so
/// that only the wall is left. Without the wall the listener is called, so the test would notice if helm stopped asking.
#[tokio::test]
async fn a_chart_that_calls_out_reaches_nobody() {
    let t = renderer().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let schema = format!(r#"{{"properties":{{"a":{{"$ref":"http://127.0.0.1:{port}/x.json"}}}}}}"#);
    let files = chart("a: 1").with("c/values.schema.json", &schema);
    let refused = t.said(&files, &input("c")).await;
    assert!(refused.contains("nothing is fetched while rendering"), "{refused}");
    assert_eq!(t.renderer.renders(), 0);

    let tool = t.renderer.helm().unwrap().clone();
    let walls = tool.level;
    let called = |level: Level| {
        let (t, tool, files, listener) = (&t, &tool, &files, &listener);
        async move {
            let sandbox = Sandbox::new(&t.renderer.scratch).unwrap();
            files.0.iter().for_each(|(path, content)| sandbox.put(path, content).unwrap());
            let args = ["template".to_owned(), "x".to_owned(), sandbox.inside(level, "c")];
            let run = sandbox.run(level, (tool.name, &tool.path), &args, &t.renderer.limits);
            // The listener answers nobody, so a caller would wait; that it called is all that is asked.
            tokio::select! {
                biased;
                call = listener.accept() => call.is_ok(),
                _ = run => false,
            }
        }
    };
    assert_eq!(called(walls).await, tool.walls().network == Wall::Down, "behind the walls there are");
    assert!(called(Level::Bare).await, "without them");
}

#[test]
fn a_closure_that_no_disk_can_hold_is_its_authors_to_mend() {
    let scratch = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new(scratch.path()).unwrap();
    sandbox.put("a", b"").unwrap();
    sandbox.put("b/c", b"").unwrap();
    for path in ["a", "a/b", "a/b/c", "b", &"x".repeat(256), &"x/".repeat(1_500), "x//y"] {
        let refused = sandbox.put(path, b"").unwrap_err();
        assert_eq!(refused.blame(), crate::render::Blame::Author, "{path}: {refused}");
    }
}

#[tokio::test]
async fn a_sealed_box_holds_the_closure_and_nothing_else() {
    let t = renderer().await;
    let tool = t.renderer.kustomize().unwrap();
    if tool.walls().files != Wall::Up {
        assert!(!tool.level.is_sealed());
        return;
    }
    // Given a link out of the box, as a compromised renderer could make one: there is nothing behind it.
    let sandbox = Sandbox::new(&t.renderer.scratch).unwrap();
    sandbox.put("k/kustomization.yaml", b"resources: [link.yaml]").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", t.renderer.scratch.join("link")).unwrap();
    let inside =
        std::fs::read_dir(&t.renderer.scratch).unwrap().flatten().find(|e| e.file_name() != "link").unwrap().path();
    std::os::unix::fs::symlink("/etc/passwd", inside.join("files/k/link.yaml")).unwrap();
    let args =
        ["build".to_owned(), "--load-restrictor=LoadRestrictionsNone".to_owned(), sandbox.inside(tool.level, "k")];
    let ran = sandbox.run(tool.level, (tool.name, &tool.path), &args, &Limits::default()).await.unwrap();
    assert!(!ran.ok && !ran.err.contains("root:"), "{}", ran.err);
    assert!(ran.err.contains("no such file"), "{}", ran.err);
}

/// What a program finds in its environment, and what its machine is called: the same on every server, and something else in
/// the second box.
#[tokio::test]
async fn a_box_says_nothing_of_the_machine_it_is_on() {
    let t = renderer().await;
    // `env` and `hostname` need more than a box holds, so this one is left open; all else is as for a renderer.
    let level = match t.renderer.helm().unwrap().level {
        Level::SealedNobody | Level::Sealed => Level::Apart,
        Level::SealedByRoot => Level::ApartByRoot,
        other => other,
    };
    let said = async |sandbox: Sandbox, program: &str| {
        let path = Path::new("/usr/bin").join(program);
        let ran = sandbox.run(level, (program, &path), &[], &t.renderer.limits).await.unwrap();
        assert!(ran.ok, "{program}: {}", ran.err);
        String::from_utf8(ran.out).unwrap()
    };
    let sandbox = || Sandbox::new(&t.renderer.scratch).unwrap();
    let environment = said(sandbox(), "env").await;
    // A shell may count itself.
    let of_a_shell = ["_", "PWD", "SHLVL"];
    let mut names: Vec<&str> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.retain(|name| !of_a_shell.contains(name));
    names.sort_unstable();
    assert_eq!(names, ["GOMAXPROCS", "GOMEMLIMIT", "HOME", "HOSTNAME", "TMPDIR", "TZ"]);
    assert!(environment.contains("HOSTNAME=bascule\n"), "{environment}");
    assert!(said(sandbox().elsewhere(), "env").await.contains("HOSTNAME=elsewhere\n"));
    if level.is_renamed() {
        assert_eq!(said(sandbox(), "hostname").await, "bascule\n");
        assert_eq!(said(sandbox().elsewhere(), "hostname").await, "elsewhere\n");
    }
}

#[tokio::test]
async fn a_schema_that_leads_back_to_itself_ends() {
    let t = renderer().await;
    let mut said = String::new();
    for schema in [
        r##"{"$ref":"#"}"##,
        r##"{"properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##,
        r##"{"properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"properties":{"a":{"$ref":"#/$defs/a"}}}}}"##,
    ] {
        let files = chart("a: {{ .Values.a | toJson }}").with("c/values.schema.json", schema);
        let files = files.with("c/values.yaml", "a: { a: { a: {} } }");
        said += &(t.said(&files, &input("c")).await + "\n");
    }
    insta::assert_snapshot!(said, @r#"
        Author: helm failed: Error: values don't meet the specifications of the schema(s) in the following chart(s):
        shop:
        - at '': both /$ref and  resolve to "file:///values.schema.json#" causing reference cycle
        Author: helm failed: Error: values don't meet the specifications of the schema(s) in the following chart(s):
        shop:
        - at '/a': both /properties/a/$ref/$ref/$ref and /properties/a/$ref resolve to "file:///values.schema.json#/$defs/a" causing reference cycle
        ---
        # Source: shop/templates/a.yaml
        a: {"a":{"a":{}}}
    "#);
}
