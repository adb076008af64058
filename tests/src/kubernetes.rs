//! The manifests in `k8s/`, as kubectl builds them, and those who judge them. `tests/run` installs both.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::target_directory;

/// What kubectl makes of an overlay, or of the base and a component.
#[derive(Debug)]
pub struct Built {
    /// `overlays/production`, or `base with components/ingress`.
    pub name: String,
    /// What would be applied.
    pub yaml: String,
    /// The same, one by one.
    pub objects: Vec<Value>,
}

/// One Deployment's only container, and what belongs to it.
#[derive(Debug)]
pub struct Workload<'a> {
    /// `app.kubernetes.io/component`.
    pub component: &'a str,
    /// The Deployment's `spec`.
    pub spec: &'a Value,
    /// The pod's `spec`.
    pub pod: &'a Value,
    /// The container.
    pub container: &'a Value,
    /// The pod's labels.
    pub labels: &'a Value,
}

impl Built {
    /// Builds an overlay.
    #[must_use]
    pub fn overlay(name: &str) -> Self {
        let name = format!("overlays/{name}");
        let yaml = kustomize(&manifests().join(&name));
        Self { name, objects: documents(&yaml), yaml }
    }

    /// Builds the base with a component, such as `ingress`.
    #[must_use]
    pub fn with_component(component: &str) -> Self {
        // Kustomize wants paths that are relative, so this lies at a known depth below the sources.
        let directory = tempfile::tempdir_in(target_directory()).unwrap();
        let mut way = PathBuf::new();
        let (root, place) = (sources(), directory.path().canonicalize().unwrap());
        let common = place.ancestors().find(|above| root.starts_with(above)).unwrap();
        way.extend(place.strip_prefix(common).unwrap().iter().map(|_| ".."));
        let way = way.join(root.strip_prefix(common).unwrap()).join("k8s").display().to_string();
        // As an overlay has it: the base names no namespace.
        let kustomization = format!(
            "namespace: scan-login\nresources: [{way}/base]\ncomponents: [{way}/components/{component}]\n"
        );
        fs::write(directory.path().join("kustomization.yaml"), kustomization).unwrap();
        let yaml = kustomize(directory.path());
        Self { name: format!("base with components/{component}"), objects: documents(&yaml), yaml }
    }

    /// Builds everything that there is: each overlay, and the base with each component.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let overlays = entries("overlays").into_iter().map(|name| Self::overlay(&name));
        overlays.chain(entries("components").iter().map(|name| Self::with_component(name))).collect()
    }

    /// The objects of a kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The one object of this kind and name.
    #[must_use]
    pub fn object(&self, kind: &str, name: &str) -> &Value {
        let found = self.of_kind(kind).find(|object| object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("{}: no {kind} {name}", self.name))
    }

    /// Every Deployment.
    #[must_use]
    pub fn workloads(&self) -> Vec<Workload<'_>> {
        self.of_kind("Deployment").map(Workload::of).collect()
    }

    /// The Deployment of a component.
    #[must_use]
    pub fn workload(&self, component: &str) -> Workload<'_> {
        let found = self.workloads().into_iter().find(|workload| workload.component == component);
        found.unwrap_or_else(|| panic!("{}: no {component}", self.name))
    }
}

impl<'a> Workload<'a> {
    fn of(deployment: &'a Value) -> Self {
        let template = &deployment["spec"]["template"];
        let containers = list(&template["spec"]["containers"]);
        assert_eq!(containers.len(), 1, "{deployment}");
        Self {
            component: text(&deployment["metadata"]["labels"]["app.kubernetes.io/component"]),
            spec: &deployment["spec"],
            pod: &template["spec"],
            container: &containers[0],
            labels: &template["metadata"]["labels"],
        }
    }

    /// Its settings, as its environment will have them, those of the `ConfigMaps` first.
    #[must_use]
    pub fn settings(&self, built: &Built) -> Vec<(String, String)> {
        let maps = list(&self.container["envFrom"]).iter();
        let maps = maps.map(|from| built.object("ConfigMap", text(&from["configMapRef"]["name"])));
        let mut settings: Vec<_> = maps
            .flat_map(|map| map["data"].as_object().unwrap())
            .map(|(name, value)| (name.clone(), text(value).to_owned()))
            .collect();
        for variable in list(&self.container["env"]) {
            settings.push((text(&variable["name"]).to_owned(), text(&variable["value"]).to_owned()));
        }
        settings
    }

    /// The number of a port that is named.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<u64> {
        let mut ports = list(&self.container["ports"]).iter();
        ports.find(|port| port["name"] == name)?["containerPort"].as_u64()
    }
}

/// Where the manifests are.
#[must_use]
pub fn manifests() -> PathBuf {
    sources().join("k8s")
}

/// A list; what is not there is an empty one.
#[must_use]
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text.
#[must_use]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The names in a folder of `k8s/`.
#[must_use]
pub fn entries(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(manifests().join(folder)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Reads YAML, which may be several documents.
#[must_use]
pub fn documents(yaml: &str) -> Vec<Value> {
    let convert = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes/yaml_to_json.py");
    let mut python = installed("python");
    python.arg("-I").arg(convert).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = python.spawn().unwrap();
    python.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
    serde_json::from_str(&succeeded(&python.wait_with_output().unwrap())).unwrap()
}

/// What the schemas of a version of Kubernetes have against these objects; nothing, if they are well.
#[must_use]
pub fn against_schema(version: &str, objects: &[&Value]) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    // JSON is YAML.
    let text: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
    let file = written(&directory, "objects.yaml", &text);
    complaint(installed("kubernetes-validate").args(["--strict", "--quiet", "-k", version]).arg(file))
}

/// What the policy linter has against what was built; nothing, if it is well.
#[must_use]
pub fn against_policies(built: &[Built]) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubernetes/checkov.yaml");
    let mut linter = installed("checkov");
    linter.arg("--config-file").arg(config).arg("--output").arg("json");
    // File by file, for it passes over directories whose names begin with a dot, as temporary ones do.
    for built in built {
        let name = format!("{}.yaml", built.name.replace(['/', ' '], "-"));
        linter.arg("--file").arg(written(&directory, &name, &built.yaml));
    }
    let output = linter.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    // Who looked at nothing has nothing to say against it.
    let passed = report["summary"]["passed"].as_u64().unwrap_or(0);
    assert!(passed > 100 * built.len() as u64, "it hardly looked: {said}");
    let failed = list(&report["results"]["failed_checks"]).iter();
    let failed =
        failed.map(|check| format!("{} {} {}", check["check_id"], check["check_name"], check["resource"]));
    (!output.status.success()).then(|| failed.collect::<Vec<_>>().join("\n"))
}

fn complaint(command: &mut Command) -> Option<String> {
    let output = command.output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (!output.status.success()).then_some(said)
}

fn written(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn kustomize(directory: &Path) -> String {
    succeeded(&installed("kubectl").arg("kustomize").arg(directory).output().unwrap())
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn installed(program: &str) -> Command {
    let path = target_directory().join("kubernetes/bin").join(program);
    assert!(path.exists(), "no {}: tests/run installs it", path.display());
    Command::new(path)
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}
