//! Which engine runs which graph.

use std::fmt;
use std::str::FromStr;

use crate::error::OptionError;
use crate::options::EngineKind;

/// A graph of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GraphRole {
    /// Token ids to text memory.
    Text,
    /// A frame to vision tokens.
    Vision,
    /// Vision tokens and text memory to boxes and logits.
    Fusion,
    /// What was found to masks.
    Mask,
}

impl GraphRole {
    /// All of them, in the order in which a frame and its queries meet them.
    pub const ALL: [GraphRole; 4] = [
        GraphRole::Text,
        GraphRole::Vision,
        GraphRole::Fusion,
        GraphRole::Mask,
    ];

    /// Its name in options, and as the end of a remote model's name.
    pub const fn name(self) -> &'static str {
        match self {
            GraphRole::Text => "text",
            GraphRole::Vision => "vision",
            GraphRole::Fusion => "fusion",
            GraphRole::Mask => "mask",
        }
    }
}

impl fmt::Display for GraphRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An engine for each graph. As text: a name for all of them, or `vision:tract,fusion:kserve`, where the graphs that
/// are not named are `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct EngineChoice {
    /// Of the text graph.
    pub text: EngineKind,
    /// Of the vision graph.
    pub vision: EngineKind,
    /// Of the fusion graph.
    pub fusion: EngineKind,
    /// Of the mask graph.
    pub mask: EngineKind,
}

impl EngineChoice {
    /// The engine of a graph.
    pub const fn of(self, role: GraphRole) -> EngineKind {
        match role {
            GraphRole::Text => self.text,
            GraphRole::Vision => self.vision,
            GraphRole::Fusion => self.fusion,
            GraphRole::Mask => self.mask,
        }
    }

    /// The engine of all graphs, if there is one.
    pub fn single(self) -> Option<EngineKind> {
        let same = GraphRole::ALL
            .iter()
            .all(|&role| self.of(role) == self.text);
        same.then_some(self.text)
    }

    /// Whether a graph has this engine.
    pub fn has(self, kind: EngineKind) -> bool {
        GraphRole::ALL.iter().any(|&role| self.of(role) == kind)
    }
}

impl From<EngineKind> for EngineChoice {
    fn from(kind: EngineKind) -> EngineChoice {
        EngineChoice {
            text: kind,
            vision: kind,
            fusion: kind,
            mask: kind,
        }
    }
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kind) = self.single() {
            return kind.fmt(f);
        }
        for (index, role) in GraphRole::ALL.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{role}:{}", self.of(role))?;
        }
        Ok(())
    }
}

impl FromStr for EngineChoice {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<EngineChoice, OptionError> {
        if !text.contains(':') {
            return Ok(text.parse::<EngineKind>()?.into());
        }
        let wrong = || OptionError {
            option: "engine",
            expected: "a name, or GRAPH:NAME for some of text, vision, fusion and mask, each once, with commas",
            found: text.to_owned(),
        };
        let mut choice = EngineChoice::default();
        let mut named = Vec::new();
        for part in text.split(',') {
            let (role, kind) = part.split_once(':').ok_or_else(wrong)?;
            let role = GraphRole::ALL
                .into_iter()
                .find(|known| known.name() == role.trim());
            let role = role
                .filter(|role| !named.contains(role))
                .ok_or_else(wrong)?;
            named.push(role);
            let kind = kind.trim().parse()?;
            match role {
                GraphRole::Text => choice.text = kind,
                GraphRole::Vision => choice.vision = kind,
                GraphRole::Fusion => choice.fusion = kind,
                GraphRole::Mask => choice.mask = kind,
            }
        }
        Ok(choice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(kinds in proptest::array::uniform4(0..EngineKind::ALL.len())) {
            let [text, vision, fusion, mask] = kinds.map(|kind| EngineKind::ALL[kind]);
            let choice = EngineChoice { text, vision, fusion, mask };
            prop_assert_eq!(choice.to_string().parse(), Ok(choice));
        }
    }

    #[test]
    fn graphs_that_are_not_named_are_auto() {
        let choice: EngineChoice = "vision:tract, fusion:kserve".parse().unwrap();
        assert_eq!(choice.vision, EngineKind::Tract);
        assert_eq!(choice.fusion, EngineKind::KServe);
        assert_eq!(choice.of(GraphRole::Mask), EngineKind::Auto);
        assert_eq!(
            choice.to_string(),
            "text:auto,vision:tract,fusion:kserve,mask:auto"
        );
        assert_eq!("tract".parse(), Ok(EngineChoice::from(EngineKind::Tract)));
    }

    #[test]
    fn what_is_no_choice_is_refused() {
        for text in [
            "vision:tract,vision:tract",
            "vision:",
            "eyes:tract",
            "vision:tract,",
            ":",
            "vision:tract,kserve",
        ] {
            let error = text.parse::<EngineChoice>().unwrap_err();
            assert_eq!(error.option, "engine", "{text}");
        }
    }
}
