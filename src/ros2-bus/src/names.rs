//! Names of topics and services: what they are short for, and what they are remapped to.

use ros2_client::NodeName;

/// Most characters of a name; DDS implementations allow 255.
const MAX_CHARS: usize = 255;

/// A rule `from:=to` of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remap {
    /// For the node of this name only.
    pub node: Option<String>,
    /// The name as the node has it; `~` and relative names are expanded before they are compared.
    pub from: String,
    /// What it is to be.
    pub to: String,
}

/// The name of a node. Its namespace may lack the first slash, and may be empty.
///
/// # Errors
/// It is none: says what is wrong with it.
pub fn node(namespace: &str, name: &str) -> Result<NodeName, String> {
    let namespace = match namespace {
        "" => "/".to_owned(),
        whole if whole.starts_with('/') => whole.to_owned(),
        relative => format!("/{relative}"),
    };
    NodeName::new(&namespace, name).map_err(|error| {
        format!("namespace {namespace:?} and name {name:?} are no name of a node: {error}")
    })
}

/// The whole name, from the first slash on, of what `name` is short for in `node`.
///
/// # Errors
/// It is no name: says what is wrong with it.
pub fn expand(name: &str, node: &NodeName) -> Result<String, String> {
    let own = node.fully_qualified_name();
    let namespace = node.namespace();
    let substituted = name
        .replace("{node}", node.base_name())
        .replace("{ns}", namespace)
        .replace("{namespace}", namespace);
    let within = |namespace: &str, rest: &str| match namespace {
        "/" => format!("/{rest}"),
        namespace => format!("{namespace}/{rest}"),
    };
    let whole = if substituted == "~" {
        own
    } else if let Some(rest) = substituted.strip_prefix("~/") {
        within(&own, rest)
    } else if substituted.starts_with('/') {
        substituted
    } else {
        within(namespace, &substituted)
    };
    check(name, &whole)?;
    Ok(whole)
}

fn check(name: &str, whole: &str) -> Result<(), String> {
    let refuse = |what: &str| Err(format!("{name:?} is no name of a topic or service: {what}"));
    if whole.len() > MAX_CHARS {
        return refuse(&format!("it has more than {MAX_CHARS} characters"));
    }
    for token in whole[1..].split('/') {
        if token.is_empty() {
            return refuse("it is empty between two slashes or at its end");
        }
        if token.starts_with(|c: char| c.is_ascii_digit()) {
            return refuse("a part begins with a digit");
        }
        let bad = token
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && *c != '_');
        if let Some(bad) = bad {
            return refuse(&format!(
                "{bad:?} is not a letter, a digit or an underscore"
            ));
        }
        if token.contains("__") {
            return refuse("two underscores follow each other");
        }
    }
    Ok(())
}

/// The whole name of `name` in `node` after the first of `rules` that is about it.
///
/// # Errors
/// It, or what a rule says, is no name.
pub fn resolve(name: &str, node: &NodeName, rules: &[Remap]) -> Result<String, String> {
    let whole = expand(name, node)?;
    for rule in rules {
        let about = rule
            .node
            .as_deref()
            .is_none_or(|name| name == node.base_name());
        if about && expand(&rule.from, node)? == whole {
            return expand(&rule.to, node);
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(namespace: &str) -> NodeName {
        NodeName::new(namespace, "mdetr").expect("a valid name")
    }

    fn rule(from: &str, to: &str) -> Remap {
        Remap {
            node: None,
            from: from.into(),
            to: to.into(),
        }
    }

    #[test]
    fn names_are_expanded() {
        for (namespace, name, expected) in [
            ("/", "image", "/image"),
            ("/robot", "image", "/robot/image"),
            ("/robot", "/image", "/image"),
            ("/", "~/result", "/mdetr/result"),
            ("/robot", "~/result", "/robot/mdetr/result"),
            ("/robot", "{node}/a", "/robot/mdetr/a"),
        ] {
            assert_eq!(expand(name, &node(namespace)).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn the_first_rule_about_a_name_holds() {
        let rules = [
            rule("image", "/camera/image_raw"),
            rule("image", "/other"),
            rule("~/result", "found"),
            rule("/robot/depth", "/d"),
        ];
        let node = node("/robot");
        for (name, expected) in [
            ("image", "/camera/image_raw"),
            ("~/result", "/robot/found"),
            ("depth", "/d"),
            ("camera_info", "/robot/camera_info"),
        ] {
            assert_eq!(resolve(name, &node, &rules).as_deref(), Ok(expected));
        }
        let other = Remap {
            node: Some("other".into()),
            ..rule("image", "/elsewhere")
        };
        assert_eq!(
            resolve("image", &node, &[other]).as_deref(),
            Ok("/robot/image")
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["a//b", "a/", "", "1a", "a b", "a__b", "~a", "ä"] {
            assert!(expand(name, &node("/")).is_err(), "{name}");
        }
        assert!(expand(&"a".repeat(300), &node("/")).is_err());
    }
}
