use super::*;
use crate::render::Capabilities;
use crate::render::files::memory::Memory;

fn input(path: &str) -> RenderInput {
    let words = |text: &str| text.to_owned();
    RenderInput { path: words(path), helm: None, release: words("r"), namespace: words("n"), cluster: None }
}

fn with_values(path: &str, values: &[&str]) -> RenderInput {
    let values = values.iter().map(|text| (*text).to_owned()).collect();
    RenderInput { helm: Some(crate::policy::rules::Helm { release: None, values }), ..input(path) }
}

async fn of(files: &Memory, input: &RenderInput) -> Result<Closure, RenderError> {
    closure(files, input, &Limits::default(), |_| "1".to_owned()).await
}

async fn reads(files: &Memory, input: &RenderInput) -> String {
    match of(files, input).await {
        Ok(closure) => closure.reads.into_keys().collect::<Vec<_>>().join(" "),
        Err(error) => format!("{:?}: {error}", error.blame()),
    }
}

const BASE: &[(&str, &str)] = &[
    ("base/kustomization.yaml", "resources: [web.yaml]"),
    ("base/web.yaml", "kind: A"),
    ("base/notes.md", "unread"),
    ("components/tls/kustomization.yaml", "kind: Component\npatches: [{path: tls.yaml}]"),
    ("components/tls/tls.yaml", "x"),
];

#[tokio::test]
async fn a_kustomization_is_followed_through_every_field_that_names_a_file() {
    let files = Memory::new(BASE).with(
        "env/kustomization.yaml",
        "resources: [../base, extra.yaml]
components: [../components/tls]
bases: []
crds: [crd.json]
configurations: [names.yaml]
patchesStrategicMerge: [merge.yaml, \"kind: Inline\\nx: y\"]
patchesJson6902: [{path: json.yaml, target: {kind: A}}]
replacements: [{path: replace.yaml}]
openapi: {path: schema.json}
transformers: [labels.yaml, \"apiVersion: builtin\\nkind: PatchTransformer\\npath: patch.yaml\"]
configMapGenerator: [{name: c, files: [a.conf, k=b.conf], envs: [c.env]}]
secretGenerator: [{name: s, env: d.env}]
",
    );
    let named = "extra.yaml crd.json names.yaml merge.yaml json.yaml replace.yaml schema.json patch.yaml a.conf b.conf c.env d.env";
    let mut files =
        files.with("env/labels.yaml", "apiVersion: builtin\nkind: LabelTransformer").with("env/README.md", "unread");
    for name in named.split(' ') {
        files = files.with(&format!("env/{name}"), "x");
    }
    let expected = "base/kustomization.yaml base/web.yaml components/tls/kustomization.yaml components/tls/tls.yaml \
        env/a.conf env/b.conf env/c.env env/crd.json env/d.env env/extra.yaml env/json.yaml env/kustomization.yaml \
        env/labels.yaml env/merge.yaml env/names.yaml env/patch.yaml env/replace.yaml env/schema.json";
    assert_eq!(reads(&files, &input("env")).await, expected);
}

#[tokio::test]
async fn what_kustomize_could_fetch_or_run_is_refused_before_it_runs() {
    let with = |text: &str| Memory::new(BASE).with("env/kustomization.yaml", text);
    let plugin = |text: &str| with("generators: [g.yaml]").with("env/g.yaml", text);
    let cases = [
        with("resources: [https://example.com/x.yaml]"),
        with("resources: ['github.com/org/repo//base?ref=v1']"),
        with("components: ['git@github.com:org/repo']"),
        with("helmCharts: [{name: redis, repo: 'https://charts'}]"),
        with("helmChartInflationGenerator: []"),
        plugin("apiVersion: someteam.example.com/v1\nkind: Exec"),
        plugin(
            "apiVersion: builtin\nkind: X\nmetadata: {annotations: {config.kubernetes.io/function: 'container: {image: x}'}}",
        ),
        plugin("apiVersion: builtin\nkind: HelmChartInflationGenerator"),
        with("transformers: [\"apiVersion: x/v1\\nkind: Inline\\n\"]"),
        with("resources: [../../../etc/passwd]"),
        with("resources: [/etc/passwd]"),
        with("configMapGenerator: [{name: a, files: [k=../../../../proc/self/environ]}]"),
        with("resources: [../nowhere.yaml]"),
        with("resources: [../components]"),
        with("resources: [link.yaml]").with("env/link.yaml", "symlink:/etc/passwd"),
        with("resources: [way/x.yaml]").with("env/way", "symlink:/etc"),
        with("a: [").with("env/x", "x"),
        with("x").with("env/kustomization.yml", "y"),
    ];
    let mut said = String::new();
    for files in cases {
        said.push_str(&reads(&files, &input("env")).await);
        said.push('\n');
    }
    insta::assert_snapshot!(said, @r#"
        Author: env/kustomization.yaml: `resources: https://example.com/x.yaml` is on another machine: nothing is fetched while rendering, copy it into the repository
        Author: env/kustomization.yaml: `resources: github.com/org/repo//base?ref=v1` is on another machine: nothing is fetched while rendering, copy it into the repository
        Author: env/kustomization.yaml: `components: git@github.com:org/repo` is on another machine: nothing is fetched while rendering, copy it into the repository
        Author: env/kustomization.yaml: `helmCharts` lets kustomize fetch and run charts: make the chart an environment of its own
        Author: env/kustomization.yaml: `helmChartInflationGenerator` lets kustomize fetch and run charts: make the chart an environment of its own
        Author: env/g.yaml: `Exec` is a plugin: only kustomize's own are run
        Author: env/g.yaml: `X` is a KRM function: functions are never run
        Author: env/g.yaml: it lets kustomize fetch and run charts: make the chart an environment of its own
        Author: env/kustomization.yaml: `Inline` is a plugin: only kustomize's own are run
        Author: env/kustomization.yaml: `resources: ../../../etc/passwd` is outside the repository
        Author: env/kustomization.yaml: `resources: /etc/passwd` is outside the repository
        Author: env/kustomization.yaml: `files: ../../../../proc/self/environ` is outside the repository
        Author: env/kustomization.yaml names `nowhere.yaml`, which is not there
        Author: env/kustomization.yaml: it names the folder `components`, which has no kustomization file
        Author: env/kustomization.yaml: `env/link.yaml` is a symbolic link; links are never followed, put the file itself there
        Author: env/kustomization.yaml: `env/way` is a symbolic link; links are never followed, put the file itself there
        Author: env/kustomization.yaml cannot be read: unclosed bracket '[' at line 1, column 4
        Author: env: it holds more than one kustomization file
    "#);
}

#[tokio::test]
async fn cycles_and_crowds_end() {
    let of = |files: &[(&str, &str)]| {
        let with =
            |all: Memory, (folder, text): &(&str, &str)| all.with(&format!("{folder}/kustomization.yaml"), *text);
        files.iter().fold(Memory::default(), with)
    };
    let circles = [
        of(&[("a", "resources: [../b]"), ("b", "resources: [../a]")]),
        of(&[
            ("a", "components: [../b]"),
            ("b", "kind: Component\ncomponents: [../c]"),
            ("c", "kind: Component\ncomponents: [../b]"),
        ]),
        of(&[("a", "resources: [.]")]),
        of(&[("a", "transformers: [../b]"), ("b", "resources: [../a]")]),
        // Two ways to one place are no circle.
        of(&[("a", "resources: [../b, ../c]"), ("b", "resources: [../d]"), ("c", "resources: [../d]"), ("d", "")]),
    ];
    let mut said = String::new();
    for files in &circles {
        said += &(reads(files, &input("a")).await + "\n");
    }
    insta::assert_snapshot!(said, @r"
    Author: a/kustomization.yaml: what it names leads back to it: `a` → `b` → `a`
    Author: b/kustomization.yaml: what it names leads back to it: `b` → `c` → `b`
    Author: a/kustomization.yaml: what it names leads back to it: `a` → `a`
    Author: a/kustomization.yaml: what it names leads back to it: `a` → `b` → `a`
    a/kustomization.yaml b/kustomization.yaml c/kustomization.yaml d/kustomization.yaml
    ");
    let mut crowd = Memory::default();
    for number in 0..30 {
        let next = format!("resources: [../k{}]", number + 1);
        crowd = crowd.with(&format!("k{number}/kustomization.yaml"), next);
    }
    let few = Limits { kustomizations: 20, files: 5, ..Limits::default() };
    let said = closure(&crowd, &input("k0"), &few, |_| "1".to_owned()).await.unwrap_err();
    insta::assert_snapshot!(said, @"the number of files it reads is more than the limit of 5");
    let few = Limits { files: 100, ..few };
    let said = closure(&crowd, &input("k0"), &few, |_| "1".to_owned()).await.unwrap_err();
    insta::assert_snapshot!(said, @"the number of kustomizations it is made of is more than the limit of 20");
    let deep = Memory::default().with(&format!("{}a.yaml", "d/".repeat(100)), "a: 1");
    insta::assert_snapshot!(reads(&deep, &input("d")).await, @"Author: the depth of `d` is more than the limit of 64 folders");
}

const CHART: &[(&str, &str)] = &[
    ("chart/Chart.yaml", "name: shop"),
    ("chart/values.yaml", "a: 1"),
    ("chart/values-staging.yaml", "a: 2"),
    ("chart/values-production.yaml", "a: 3"),
    ("chart/README.md", "x"),
    ("chart/templates/web.yaml", "a: {{ .Values.a }}"),
    ("chart/templates/_names.tpl", "x"),
    ("deploy/production.yaml", "b: 1"),
];

#[tokio::test]
async fn a_chart_reads_what_helm_opens_and_its_own_values_files() {
    let files = Memory::new(CHART);
    let staging = with_values("chart", &["values-staging.yaml"]);
    let production = with_values("chart", &["values-production.yaml", "/deploy/production.yaml"]);
    let expected = "chart/Chart.yaml chart/templates/_names.tpl chart/templates/web.yaml chart/values-staging.yaml chart/values.yaml";
    assert_eq!(reads(&files, &staging).await, expected);
    let expected = "chart/Chart.yaml chart/templates/_names.tpl chart/templates/web.yaml chart/values-production.yaml \
        chart/values.yaml deploy/production.yaml";
    assert_eq!(reads(&files, &production).await, expected);
    // A template that reaches for files gets all of them.
    let files = files.with("chart/templates/files.yaml", "{{ .Files.Get \"README.md\" }}").with("chart/conf/x", "x");
    assert!(reads(&files, &staging).await.contains("chart/README.md"));
    assert!(reads(&files, &staging).await.contains("chart/conf/x"));
}

#[tokio::test]
async fn a_chart_that_is_not_whole_or_reaches_outside_is_refused() {
    let chart = |extra: &str| Memory::new(CHART).with("chart/Chart.yaml", format!("name: shop\n{extra}"));
    let vendored = chart("dependencies: [{name: redis, repository: 'https://charts', version: 1.x}]");
    let cases = [
        (vendored.clone(), input("chart")),
        (vendored.clone().with("chart/charts/redis-1.0.0.tgz", "not gzip"), input("chart")),
        (chart("").with("chart/Chart.yaml", "name: .."), input("chart")),
        (chart(""), with_values("chart", &["../../secret.yaml"])),
        (chart(""), with_values("chart", &["https://169.254.169.254/latest"])),
        (chart(""), with_values("chart", &["file:///etc/passwd"])),
        (chart(""), with_values("chart", &["a,b.yaml"])),
        (chart(""), with_values("chart", &["nowhere.yaml"])),
        (chart("").with("chart/values.schema.json", r#"{"$ref":"http://127.0.0.1/x"}"#), input("chart")),
        (chart("").with("chart/templates/link.yaml", "symlink:/proc/self/environ"), input("chart")),
        (chart("").with("chart/charts/sub", "symlink:../.."), input("chart")),
        (Memory::new(BASE), with_values("base", &["x.yaml"])),
    ];
    let mut said = String::new();
    for (files, input) in cases {
        said.push_str(&reads(&files, &input).await);
        said.push('\n');
    }
    insta::assert_snapshot!(said, @r#"
        Author: chart/Chart.yaml: the dependency `redis` is not in `chart/charts`, and nothing is fetched while rendering: run `helm dependency build chart` and commit what it writes
        Author: chart/charts/redis-1.0.0.tgz: it is not a gzip archive, or damaged
        Author: chart/Chart.yaml: the chart's `name` is missing, or not letters, digits, `-`, `_` and `.`
        Author: the environment's `helm.values`: `../../secret.yaml` is outside the repository
        Author: the environment's `helm.values`: `https://169.254.169.254/latest` is on another machine: nothing is fetched while rendering
        Author: the environment's `helm.values`: `file:///etc/passwd` is on another machine: nothing is fetched while rendering
        Author: the environment's `helm.values`: `a,b.yaml` has a comma or quote in its name
        Author: the environment's `helm.values` names `chart/nowhere.yaml`, which is not there
        Author: chart/values.schema.json: `$ref: http://127.0.0.1/x` names something outside the schema: nothing is fetched while rendering
        Author: chart/templates/link.yaml: it is a symbolic link; links are never followed, put the file itself there
        Author: chart/charts: `chart/charts/sub` is a symbolic link; links are never followed, put the file itself there
        Author: base: the environment has a `helm:` block, and there is no Chart.yaml
    "#);
    let folder =
        vendored.with("chart/charts/redis/Chart.yaml", "name: redis").with("chart/charts/redis/templates/a", "x");
    assert!(reads(&folder, &input("chart")).await.contains("chart/charts/redis/templates/a"));
}

#[tokio::test]
async fn plain_folders_are_read_as_a_whole_and_only_manifests_of_them() {
    let files = Memory::new(&[
        ("plain/a.yaml", "x"),
        ("plain/sub/b.yml", "x"),
        ("plain/c.json", "x"),
        ("plain/README.md", "x"),
        ("plain/.hidden.yaml", "x"),
        ("plain/.github/w.yaml", "x"),
        ("mixed/a.yaml", "x"),
        ("mixed/k/kustomization.yaml", "x"),
        ("mixed2/c/Chart.yaml", "x"),
        ("docs/README.md", "x"),
        ("linked/a.yaml", "symlink:../plain/a.yaml"),
    ]);
    let mut said = String::new();
    for path in ["plain", "mixed", "mixed2", "docs", "linked", "nowhere", "plain/a.yaml"] {
        said.push_str(&format!("{path} -> {}\n", reads(&files, &input(path)).await));
    }
    insta::assert_snapshot!(said, @r#"
        plain -> plain/a.yaml plain/c.json plain/sub/b.yml
        mixed -> Author: mixed/k/kustomization.yaml: `mixed/k` is not plain YAML: give it an environment of its own, or name it from a kustomization
        mixed2 -> Author: mixed2/c/Chart.yaml: `mixed2/c` is not plain YAML: give it an environment of its own, or name it from a kustomization
        docs -> Author: `docs` renders to nothing
        linked -> Author: linked/a.yaml: it is a symbolic link; links are never followed, put the file itself there
        nowhere -> Absent: there is no folder `nowhere`
        plain/a.yaml -> Absent: there is no folder `plain/a.yaml`
    "#);
}

#[tokio::test]
async fn only_what_is_read_touches_an_environment() {
    let files = Memory::new(BASE)
        .with("env/kustomization.yaml", "resources: [../base]\ncomponents: [../components/tls]")
        .with("env/README.md", "x");
    let closure = of(&files, &input("env")).await.unwrap();
    for touching in [
        "env/kustomization.yaml",
        "base/web.yaml",
        "components/tls/tls.yaml",
        "env/kustomization.yml",
        "env/Chart.yaml",
        "env",
        "base",
    ] {
        assert!(closure.touched_by([touching]), "{touching}");
    }
    for idle in ["env/README.md", "base/notes.md", "environment/x", "README.md", "base/new.yaml"] {
        assert!(!closure.touched_by([idle]), "{idle}");
    }
    let plain = of(&Memory::new(&[("plain/a.yaml", "x")]), &input("plain")).await.unwrap();
    assert!(plain.touched_by(["plain/sub/new.yaml"]));
    let chart = of(&Memory::new(CHART), &input("chart")).await.unwrap();
    assert!(chart.touched_by(["chart/templates/sub/new.yaml"]) && chart.touched_by(["chart/charts/x.tgz"]));
    assert!(chart.touched_by(["chart/values.schema.json"]) && !chart.touched_by(["chart/values-staging.yaml"]));
}

#[tokio::test]
async fn the_input_hash_is_of_everything_a_render_depends_on_and_nothing_else() {
    let files = Memory::new(CHART);
    let staging = with_values("chart", &["values-staging.yaml"]);
    let first = of(&files, &staging).await.unwrap().input_hash;
    let unread = files.clone().with("chart/values-production.yaml", "a: 4").with("elsewhere", "x");
    assert_eq!(of(&unread, &staging).await.unwrap().input_hash, first);
    let read = files.clone().with("chart/values-staging.yaml", "a: 4");
    let other_version = closure(&files, &staging, &Limits::default(), |_| "2".to_owned()).await.unwrap();
    let different = [
        of(&read, &staging).await.unwrap().input_hash,
        of(&files, &RenderInput { release: "other".to_owned(), ..staging.clone() }).await.unwrap().input_hash,
        of(&files, &RenderInput { namespace: "other".to_owned(), ..staging.clone() }).await.unwrap().input_hash,
        of(&files, &input("chart")).await.unwrap().input_hash,
        other_version.input_hash,
    ];
    assert!(different.iter().all(|hash| *hash != first));
    let of_cluster = |version: &str, kinds: &[(&str, &str)]| {
        let cluster = Capabilities::new(version, kinds.iter().copied());
        RenderInput { cluster, ..staging.clone() }
    };
    let told = [
        staging.clone(),
        of_cluster("v1.36.0", &[]),
        of_cluster("v1.36.1", &[]),
        of_cluster("v1.36.0", &[("v1", "Pod")]),
        of_cluster("v1.36.0", &[("v1", "Pod"), ("apps/v1", "Deployment")]),
    ];
    let chart = of(&files, &staging).await.unwrap();
    let hashes: BTreeSet<_> = told.iter().map(|input| chart.hashed("1", input)).collect();
    assert_eq!(hashes.len(), told.len(), "each cluster is another input");
    assert!(hashes.contains(&first));
}

/// A hundred folders in each of a hundred, five deep, and a file nowhere: in Git, six objects.
struct Hollow;

impl Files for Hollow {
    async fn entry(&self, path: &str) -> Result<Option<Entry>, FilesError> {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        Ok((!name.contains('.')).then(|| Entry { name, kind: EntryKind::Folder, id: String::new() }))
    }

    async fn folder(&self, path: &str) -> Result<Option<Vec<Entry>>, FilesError> {
        let width = if path.split('/').count() > 5 { 0 } else { 100 };
        let folder = |n| Entry { name: format!("n{n}"), kind: EntryKind::Folder, id: String::new() };
        Ok(Some((0..width).map(folder).collect()))
    }

    async fn read(&self, _: &str, _: u64) -> Result<Vec<u8>, FilesError> {
        Ok(Vec::new())
    }

    async fn expect(&self, _: &[String]) -> Result<(), FilesError> {
        Ok(())
    }
}

#[tokio::test]
async fn folders_without_files_are_counted_too() {
    let error = closure(&Hollow, &input("env"), &Limits::default(), |_| "1".to_owned()).await.unwrap_err();
    assert_eq!(error.to_string(), "the number of folders below `env` is more than the limit of 10000");
}
