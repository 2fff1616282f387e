//! Names of sites, and events as a hub has them.

use mdetr_rules::Event;

use crate::config::is_name;

/// Name of a program that watches cameras, as the topic of its messages has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteName(String);

impl SiteName {
    /// A name, if it is one: letters, digits, `-` and `_`.
    pub fn new(name: &str) -> Option<SiteName> {
        is_name(name).then(|| SiteName(name.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What belongs to the site: neither names of sites nor of cameras have a dot.
    pub fn own(&self, name: &str) -> String {
        format!("{}.{name}", self.0)
    }
}

/// An event of a site: its id and its camera are those of the site, and so unique among all sites.
///
/// # Errors
/// In words: what it has cannot be a name.
pub fn of_site(site: &SiteName, event: Event) -> Result<Event, String> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let id = &event.id;
    if id.is_empty() || id.len() > 190 || id.starts_with('.') || !id.chars().all(sound) {
        return Err(format!(
            "id: expected letters, digits, -, _ and ., found {id:?}"
        ));
    }
    if !is_name(&event.camera) {
        return Err(format!("camera: expected a name, found {:?}", event.camera));
    }
    // Text of a database has no NUL.
    let texts = [&event.rule, &event.query, &event.text];
    let phrases = event.phrases.iter().map(|phrase| &phrase.text);
    if texts
        .into_iter()
        .chain(phrases)
        .any(|text| text.contains('\0'))
    {
        return Err("expected texts without NUL".to_owned());
    }
    Ok(Event {
        id: site.own(&event.id),
        camera: site.own(&event.camera),
        ..event
    })
}
