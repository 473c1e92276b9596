//! Random kustomizations, and the corpus with a bite taken out of it, judged by the tool.
//!
//! A seed is printed with what it broke. Each costs a process, so few are tried at once; `BASCULE_EVERY_STORY` tries many.

use super::judged::{Files, corpus, is_judge, judge};

/// Xorshift: the same seed is the same kustomization on every machine.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.roll(of.len())]
    }

    fn sometimes(&mut self, text: impl Into<String>) -> String {
        if self.roll(3) == 0 { text.into() } else { String::new() }
    }
}

const NAMES: [&str; 4] = ["web", "db", "job", "settings"];
const VALUES: [&str; 8] = ["1", "\"2\"", "a b", "true", "'no'", "64Mi", "\"\"", "x/y:z"];

fn container(dice: &mut Dice) -> String {
    let image = dice.one(&["web:1", "web", "host:5000/db@sha256:00", "side:2@sha256:11", "a/web:1"]);
    let name = dice.one(&["web", "side", "other"]);
    let mut text = format!("{{name: {name}, image: \"{image}\"");
    text += &dice.sometimes(
        ", env: [{name: A, value: \"1\"}, {name: B, valueFrom: {configMapKeyRef: {name: settings, key: a}}}]",
    );
    text += &dice.sometimes(", envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: db}}]");
    text += &dice.sometimes(", ports: [{containerPort: 80}, {containerPort: 81, name: b}]");
    text += &dice.sometimes(", volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /b}]");
    text += &dice.sometimes(", args: [--a, -b, \"3\"], resources: {limits: {cpu: 100m}}");
    text + "}"
}

fn pod(dice: &mut Dice) -> String {
    let first = container(dice);
    let mut second = container(dice);
    while second[..10] == first[..10] {
        second = container(dice);
    }
    let mut text = format!("containers: [{first}, {second}]");
    text += &dice.sometimes(", initContainers: [{name: init, image: web}]");
    text += &dice.sometimes(", volumes: [{name: v, configMap: {name: settings}}, {name: w, secret: {secretName: db}}]");
    text += &dice.sometimes(", serviceAccountName: web, imagePullSecrets: [{name: db}]");
    text + &dice.sometimes(", securityContext: null")
}

fn object(dice: &mut Dice, name: &str) -> String {
    let namespace = dice.sometimes(format!(", namespace: {}", dice_namespace(name)));
    let labels = dice.sometimes(", labels: {app: web}");
    let notes = dice.sometimes(", annotations: {note: \"1\"}");
    let metadata = format!("metadata: {{name: {name}{namespace}{labels}{notes}}}");
    match dice.roll(9) {
        0 | 1 => format!(
            "apiVersion: apps/v1\nkind: Deployment\n{metadata}\nspec: {{replicas: 1, selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{{}}}}}}}\n",
            pod(dice)
        ),
        2 => format!(
            "apiVersion: apps/v1\nkind: StatefulSet\n{metadata}\nspec: {{serviceName: web, template: {{spec: {{{}}}}}}}\n",
            pod(dice)
        ),
        3 => format!(
            "apiVersion: batch/v1\nkind: CronJob\n{metadata}\nspec: {{jobTemplate: {{spec: {{template: {{spec: {{{}}}}}}}}}}}\n",
            pod(dice)
        ),
        4 => format!(
            "apiVersion: v1\nkind: Service\n{metadata}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}, {{port: 81, name: b}}]}}\n"
        ),
        5 => format!("apiVersion: v1\nkind: ConfigMap\n{metadata}\ndata: {{a: {:?}, b: \"x\"}}\n", dice.one(&VALUES)),
        6 => format!("apiVersion: v1\nkind: ServiceAccount\n{metadata}\nsecrets: [{{name: db}}]\n"),
        7 => format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: {}\n{metadata}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: web}}\nsubjects: [{{kind: ServiceAccount, name: {}{}}}]\n",
            dice.one(&["RoleBinding", "ClusterRoleBinding"]),
            dice.one(&["web", "default"]),
            dice.sometimes(", namespace: ns")
        ),
        _ => format!(
            "apiVersion: example.com/v1\nkind: Thing\n{metadata}\nspec: {{x: {}, list: [{}, 2], containers: [{{image: web}}], nn: null}}\n",
            dice.one(&VALUES),
            dice.one(&VALUES)
        ),
    }
}

fn dice_namespace(name: &str) -> &'static str {
    if name == "db" { "ns" } else { "default" }
}

fn patch(dice: &mut Dice) -> String {
    let name = dice.one(&NAMES);
    let kind = dice.one(&["Deployment", "StatefulSet", "Service", "ConfigMap", "Thing"]);
    match dice.roll(4) {
        0 => format!(
            "- target: {{kind: {kind}}}\n  patch: |-\n    - {{op: add, path: /metadata/annotations/p, value: q}}\n    - {{op: {}, path: /spec/replicas, value: 4}}\n",
            dice.one(&["add", "replace"])
        ),
        1 => format!(
            "- target: {{kind: {kind}, name: \"{name}|web\"}}\n  patch: |-\n    apiVersion: x/v1\n    kind: X\n    metadata: {{name: x, labels: {{p: q}}}}\n    spec: {{x: null, yy: {{z: 1, nn: null}}, list: [3]}}\n"
        ),
        _ => format!(
            "- target: {{kind: Deployment|StatefulSet}}\n  patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {{name: x}}\n    spec: {{template: {{spec: {{containers: [{}], volumes: [{{name: v, emptyDir: {{}}, configMap: null}}, {{name: n, emptyDir: {{}}}}]{}}}}}}}\n",
            container(dice),
            dice.sometimes(", serviceAccountName: null")
        ),
    }
}

fn layer(dice: &mut Dice, resources: &str, tag: &str) -> String {
    let mut text = format!("resources: {resources}\n");
    text += &dice.sometimes(format!("namespace: {}\n", dice_namespace("db")));
    text += &dice.sometimes(format!("namePrefix: {tag}-\n"));
    text += &dice.sometimes(format!("nameSuffix: -{tag}\n"));
    text += &dice.sometimes("commonLabels: {team: shop, app: other}\n");
    text += &dice.sometimes("labels: [{pairs: {own: \"1\"}, includeTemplates: true}]\n");
    text += &dice.sometimes("commonAnnotations: {by: us}\n");
    text += &dice.sometimes("images: [{name: web, newTag: v2}, {name: host:5000/db, newName: x/db}]\n");
    if dice.roll(3) == 0 {
        text += &format!("configMapGenerator: [{{name: settings{tag}, literals: [a={}]}}]\n", dice.roll(99));
    }
    if dice.roll(2) == 0 {
        text += "patches:\n";
        for _ in 0..=dice.roll(2) {
            text += &patch(dice);
        }
    }
    text
}

fn kustomization(seed: u64) -> Files {
    let mut dice = Dice::new(seed);
    let mut files = Vec::new();
    let all: String = (0..=dice.roll(5))
        .map(|_| {
            let name = dice.one(&NAMES);
            object(&mut dice, name) + "---\n"
        })
        .collect();
    let mut base = layer(&mut dice, "[all.yaml]", "b");
    if dice.roll(2) == 0 && !base.contains("Generator") {
        base +=
            "configMapGenerator: [{name: settings, literals: [a=b]}]\nsecretGenerator: [{name: db, literals: [p=q]}]\n";
    }
    files.push(("base/kustomization.yaml".to_owned(), base.into_bytes()));
    files.push(("base/all.yaml".to_owned(), all.into_bytes()));
    let middle = layer(&mut dice, "[../base]", "m");
    files.push(("mid/kustomization.yaml".to_owned(), middle.into_bytes()));
    let top = layer(&mut dice, "[../mid]", "t");
    files.push(("env/kustomization.yaml".to_owned(), top.into_bytes()));
    files
}

/// One line of one file less, or twice, or another word for a word.
fn bitten(files: &Files, dice: &mut Dice) -> Files {
    let mut files = files.clone();
    let place = dice.roll(files.len());
    let text = String::from_utf8_lossy(&files[place].1).into_owned();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = dice.roll(lines.len().max(1));
    let word = dice.one(&["web", "other", "null", "[]", "{}", "1", "default", "settings"]);
    if let Some(line) = lines.get(at).cloned() {
        match dice.roll(4) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, line),
            2 => lines[at] = line.replacen("web", word, 1),
            _ => {
                if let Some((key, _)) = line.split_once(": ") {
                    lines[at] = format!("{key}: {word}");
                }
            }
        }
    }
    files[place].1 = (lines.join("\n") + "\n").into_bytes();
    files
}

fn how_many(few: u64, many: u64) -> u64 {
    if !is_judge() {
        return 0;
    }
    #[expect(clippy::disallowed_methods, reason = "the switch of `make test-all`, which only tests know")]
    let all = std::env::var_os("BASCULE_EVERY_STORY").is_some();
    if all { many } else { few }
}

#[test]
fn random_kustomizations_are_what_the_tool_makes_of_them() {
    let (wanted, mut judged, mut seed) = (how_many(20, 600), 0, 0);
    while judged < wanted {
        seed += 1;
        judged += u64::from(judge(&format!("seed {seed}"), &kustomization(seed)).is_ok());
        assert!(seed < 100 + wanted * 10, "too many are outside the core: {judged} of {seed} inside");
    }
}

#[test]
fn mutants_of_the_corpus_are_what_the_tool_makes_of_them() {
    let corpus = corpus();
    let (wanted, mut judged, mut seed) = (how_many(15, 600), 0, 0);
    while judged < wanted && seed < 20 * wanted {
        seed += 1;
        let mut dice = Dice::new(seed);
        let (name, files) = &corpus[dice.roll(corpus.len())];
        let files = bitten(files, &mut dice);
        judged += u64::from(judge(&format!("{name}, seed {seed}"), &files).is_ok());
    }
    assert!(judged >= wanted, "too few mutants are inside the core: {judged} of {seed}");
}

#[test]
fn what_is_made_to_be_too_much_is_left_to_the_tools_own_walls() {
    let file = |path: String, text: String| (path, text.into_bytes());
    let ends =
        |files: &Files| super::build(files, "env", 32 << 20).map(|text| text.len()).map_err(|why| why.to_string());
    // Each level names the one below twice: 2^20 objects.
    let mut doubling: Files = vec![
        file("l0/a.yaml".into(), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n".into()),
        file("l0/kustomization.yaml".into(), "resources: [a.yaml]\n".into()),
    ];
    for level in 1..=20 {
        let below = level - 1;
        for half in ["a", "b"] {
            doubling.push(file(
                format!("l{level}{half}/kustomization.yaml"),
                format!("namePrefix: {half}\nresources: [../l{below}]\n"),
            ));
        }
        doubling
            .push(file(format!("l{level}/kustomization.yaml"), format!("resources: [../l{level}a, ../l{level}b]\n")));
    }
    doubling.push(file("env/kustomization.yaml".into(), "resources: [../l20]\n".into()));
    let circle = vec![
        file("env/kustomization.yaml".into(), "resources: [../b]\n".into()),
        file("b/kustomization.yaml".into(), "resources: [../env]\n".into()),
    ];
    let mut bomb: Files = vec![file("env/big".into(), "x".repeat(1 << 20))];
    let generators: String = (0..500).map(|n| format!("- {{name: a{n}, files: [big]}}\n")).collect();
    bomb.push(file("env/kustomization.yaml".into(), format!("configMapGenerator:\n{generators}")));
    let many: String =
        (0..100_000).map(|n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a{n}}}\n")).collect();
    let many =
        vec![file("env/kustomization.yaml".into(), "resources: [a.yaml]\n".into()), file("env/a.yaml".into(), many)];
    let labels: String = (0..5_000).map(|n| format!("  l{n}: x\n")).collect();
    let objects: String =
        (0..4_000).map(|n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a{n}}}\n")).collect();
    let labels = vec![
        file("env/kustomization.yaml".into(), format!("resources: [a.yaml]\ncommonLabels:\n{labels}")),
        file("env/a.yaml".into(), objects),
    ];
    for (name, files) in
        [("doubling", doubling), ("circle", circle), ("bomb", bomb), ("many", many), ("labels", labels)]
    {
        assert!(ends(&files).is_err(), "{name}");
    }
}

/// Each is a file of some hundred KiB that came to as many MiB in the server's own memory, or to minutes of it.
#[test]
fn a_value_that_is_written_many_times_is_paid_for_each_time() {
    let file = |path: &str, text: String| (path.to_owned(), text.into_bytes());
    let maps = |how_many: usize| -> String {
        let map = |n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n}}}\n");
        (0..how_many).map(map).collect()
    };
    let overlay = |how_many: usize, more: String| {
        vec![file("env/kustomization.yaml", format!("resources: [a.yaml]\n{more}")), file("env/a.yaml", maps(how_many))]
    };
    let long = "x".repeat(40 << 10);
    let generators: String = (0..1_000).map(|n| format!("- {{name: g{n}, literals: [a=b]}}\n")).collect();
    let options: String = (0..5_000).map(|n| format!("    l{n}: x\n")).collect();
    let again = "- {name: c1, behavior: merge, literals: [a=b]}\n".repeat(2_000);
    let patches = "- {target: {kind: ConfigMap}, patch: '[{op: add, path: /data, value: {}}]'}\n".repeat(1_000);
    let operation = format!("[{{op: add, path: /data, value: {{a: {long}}}}}]");
    for (name, files) in [
        ("annotations", overlay(1_000, format!("commonAnnotations: {{a: {long}}}\n"))),
        ("labels", overlay(1_000, format!("commonLabels: {{a: {long}}}\n"))),
        (
            "a patch",
            overlay(
                1_000,
                format!(
                    "patches:\n- {{target: {{kind: ConfigMap}}, patch: \"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: x}}, data: {{a: {long}}}}}\"}}\n"
                ),
            ),
        ),
        (
            "a JSON patch",
            overlay(1_000, format!("patches:\n- {{target: {{kind: ConfigMap}}, patch: '{operation}'}}\n")),
        ),
        ("many patches", overlay(1_000, format!("patches:\n{patches}"))),
        ("options", overlay(1, format!("generatorOptions:\n  labels:\n{options}configMapGenerator:\n{generators}"))),
        ("merged again", overlay(3_000, format!("configMapGenerator:\n{again}"))),
    ] {
        let why = super::build(&files, "env", 1 << 30).unwrap_err().to_string();
        assert_eq!(why, "it is larger than what is rendered within the server", "{name}");
    }
    let few = overlay(2, format!("commonAnnotations: {{a: {long}}}\n"));
    assert!(super::build(&overlay(1, format!("namePrefix: {long}\n")), "env", 1 << 30).is_err(), "in every copy of it");
    assert!(super::build(&few, "env", 32 << 20).is_ok());
    assert!(super::build(&few, "env", 60 << 10).is_err(), "more than a renderer may print");
}
