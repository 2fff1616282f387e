//! Topics of sites.

use crate::central::SiteName;

/// Topics of sites, of which each has a name in the place of the `+`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteTopics {
    /// The levels before the name.
    before: Vec<String>,
    /// The levels behind it.
    behind: Vec<String>,
}

impl SiteTopics {
    /// From a prefix with one level `+`: `mdetr/+`.
    pub fn new(pattern: &str) -> Option<SiteTopics> {
        let levels: Vec<&str> = pattern.split('/').collect();
        let place = levels.iter().position(|level| *level == "+")?;
        let (before, behind) = (&levels[..place], &levels[place + 1..]);
        let plain = |level: &&str| !level.is_empty() && !level.contains(['+', '#', '\0', '$']);
        if !before.iter().chain(behind).all(plain) || pattern.len() > 256 {
            return None;
        }
        let owned = |levels: &[&str]| levels.iter().map(|&level| level.to_owned()).collect();
        Some(SiteTopics {
            before: owned(before),
            behind: owned(behind),
        })
    }

    fn joined(&self, name: &str, rest: &str) -> String {
        let levels = self.before.iter().map(String::as_str);
        let levels = levels
            .chain([name])
            .chain(self.behind.iter().map(String::as_str));
        levels.chain([rest]).collect::<Vec<_>>().join("/")
    }

    /// A topic of a site.
    pub fn own(&self, site: &SiteName, leaf: &str) -> String {
        self.joined(site.as_str(), leaf)
    }

    /// Filter of a topic of all sites.
    pub fn all(&self, leaf: &str) -> String {
        self.joined("+", leaf)
    }

    /// The site of a topic, and what stands behind the site's prefix.
    pub fn split<'a>(&self, topic: &'a str) -> Option<(SiteName, &'a str)> {
        let mut rest = topic;
        let mut next = || {
            let (level, behind) = rest.split_once('/')?;
            rest = behind;
            Some(level)
        };
        for level in &self.before {
            (next()? == level).then_some(())?;
        }
        let site = SiteName::new(next()?)?;
        for level in &self.behind {
            (next()? == level).then_some(())?;
        }
        Some((site, rest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_site_stands_where_the_plus_is() {
        let topics = SiteTopics::new("company/+/mdetr").unwrap();
        let (site, rest) = topics
            .split("company/site-7/mdetr/gate/q/snapshot")
            .unwrap();
        assert_eq!((site.as_str(), rest), ("site-7", "gate/q/snapshot"));
        assert_eq!(topics.own(&site, "stored"), "company/site-7/mdetr/stored");
        assert_eq!(topics.all("events"), "company/+/mdetr/events");
        for other in [
            "company/site-7/events",
            "company/a b/mdetr/x",
            "company/site-7/mdetr",
            "",
        ] {
            assert_eq!(topics.split(other), None, "{other}");
        }
        for pattern in ["mdetr", "mdetr/#", "+/+", "a//+", "$share/+", "a+/b", "+/"] {
            assert_eq!(SiteTopics::new(pattern), None, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_site_is_found_again(name in "[A-Za-z0-9_-]{1,64}", rest in "[^\0]*") {
            let topics = SiteTopics::new("mdetr/+").unwrap();
            let site = SiteName::new(&name).unwrap();
            let topic = topics.own(&site, &rest);
            prop_assert_eq!(topics.split(&topic), Some((site, &*rest)));
        }

        #[test]
        fn no_topic_is_too_strange(topic in ".*") {
            SiteTopics::new("a/+/b").unwrap().split(&topic);
            SiteTopics::new(&topic);
        }
    }
}
