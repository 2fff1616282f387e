//! Documents without passwords, for everyone to read.

use url::Url;

use super::Document;

/// What is shown in place of a password.
const HIDDEN: &str = "***";

/// The document with `***` for passwords in URLs and for values of headers.
pub fn redacted(document: &Document) -> Document {
    let mut shown = document.clone();
    for (_, url) in urls(&mut shown) {
        *url = redacted_url(url);
    }
    for webhook in &mut shown.webhooks {
        for value in webhook.headers.values_mut() {
            HIDDEN.clone_into(value);
        }
    }
    shown
}

/// A URL with `***` for its password, and for what stands behind such names as `password=` and `token=`.
pub fn redacted_url(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) => {
            let mut changed = false;
            if url.password().is_some() {
                changed = url.set_password(Some(HIDDEN)).is_ok();
                debug_assert!(changed, "a URL with a password takes another one");
            }
            if let Some(query) = url.query().and_then(redacted_query) {
                url.set_query(Some(&query));
                changed = true;
            }
            if changed { url.into() } else { text.to_owned() }
        }
        // What is no URL may have a password nevertheless.
        Err(_) => match (text.find("://"), text.rfind('@')) {
            (Some(scheme), Some(at)) if scheme < at => {
                format!("{}://{HIDDEN}{}", &text[..scheme], &text[at..])
            }
            _ => text.to_owned(),
        },
    }
}

/// `None` if nothing in it is secret.
fn redacted_query(query: &str) -> Option<String> {
    const SECRET: [&str; 6] = ["pass", "pwd", "token", "secret", "key", "auth"];
    let mut found = false;
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name, value)) if !value.is_empty() => {
            let small = name.to_ascii_lowercase();
            if SECRET.iter().any(|word| small.contains(word)) {
                found = true;
                format!("{name}={HIDDEN}")
            } else {
                part.to_owned()
            }
        }
        _ => part.to_owned(),
    });
    let parts: Vec<String> = parts.collect();
    found.then(|| parts.join("&"))
}

/// A document as it was shown and changed, with the passwords of `known` where it has `***` in the same place.
pub fn restored(shown: &Document, known: &Document) -> Document {
    let mut document = shown.clone();
    for webhook in &mut document.webhooks {
        let same = known.webhooks.iter().find(|known| known.id == webhook.id);
        for (name, value) in &mut webhook.headers {
            let known = same.and_then(|known| known.headers.get(name));
            if let Some(known) = known.filter(|_| value == HIDDEN) {
                value.clone_from(known);
            }
        }
    }
    let mut known = known.clone();
    let known: Vec<(String, String)> = urls(&mut known)
        .into_iter()
        .map(|(owner, url)| (owner, url.clone()))
        .collect();
    for (owner, url) in urls(&mut document) {
        let hides = |known: &&(String, String)| redacted_url(&known.1) == *url && known.1 != *url;
        // Two cameras may be at the same address with passwords of their own.
        let own = known.iter().filter(|known| known.0 == owner).find(hides);
        if let Some((_, known)) = own.or_else(|| known.iter().find(hides)) {
            url.clone_from(known);
        }
    }
    document
}

/// All URLs that may have a password in them, each with whose it is.
fn urls(document: &mut Document) -> Vec<(String, &mut String)> {
    let mut urls: Vec<(String, &mut String)> = Vec::new();
    for camera in &mut document.cameras {
        let owner = format!("camera {}", camera.name);
        urls.extend(camera.record_url.as_mut().map(|url| (owner.clone(), url)));
        urls.push((owner, &mut camera.url));
    }
    let hub = document.hub.as_mut();
    urls.extend(hub.map(|hub| ("hub".to_owned(), &mut hub.database)));
    let broker = document.mqtt.as_mut();
    urls.extend(broker.map(|broker| ("mqtt".to_owned(), &mut broker.url)));
    for webhook in &mut document.webhooks {
        urls.push((format!("webhook {}", webhook.id), &mut webhook.url));
    }
    let email = document.email.as_mut();
    urls.extend(email.map(|email| ("email".to_owned(), &mut email.smtp.url)));
    urls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_toml;

    #[test]
    fn passwords_are_hidden_and_found_again() {
        let text = "data = \"x\"\n[[camera]]\nname = \"a\"\nurl = \"rtsp://me:secret@cam/1\"\n\
                    [[camera]]\nname = \"b\"\nurl = \"rtsp://cam/2\"\n[mqtt]\nurl = \"mqtt://me:hush@broker\"\n";
        let document = parse_toml(text).unwrap();
        let mut shown = redacted(&document);
        let json = serde_json::to_string(&shown).unwrap();
        assert!(!json.contains("secret") && !json.contains("hush"), "{json}");
        assert_eq!(restored(&shown, &document), document);
        shown.cameras[0].url = "rtsp://me:secret@cam/1".to_owned();
        shown.cameras[1].url = "rtsp://me:other@cam/1".to_owned();
        let twice = shown.clone();
        assert_eq!(restored(&redacted(&twice), &twice), twice);
        // Another host does not get the password of this one.
        shown.cameras[0].url = "rtsp://me:***@elsewhere/1".to_owned();
        assert_eq!(
            restored(&shown, &document).cameras[0].url,
            "rtsp://me:***@elsewhere/1"
        );
    }

    #[test]
    fn secrets_in_queries_and_headers_are_hidden() {
        let url = "http://cam/video?user=me&Password=hush&token=abc&width=3&key=";
        let hidden = "http://cam/video?user=me&Password=***&token=***&width=3&key=";
        assert_eq!(redacted_url(url), hidden);
        assert_eq!(redacted_url(hidden), hidden);
        let text = "data = \"x\"\n[[webhook]]\nid = \"phone\"\nurl = \"https://push.example/?api_key=hush\"\n\
                    headers = { Authorization = \"Bearer hush\" }\n";
        let document = parse_toml(text).unwrap();
        let shown = redacted(&document);
        let json = serde_json::to_string(&shown).unwrap();
        assert!(!json.contains("hush"), "{json}");
        assert_eq!(restored(&shown, &document), document);
    }

    #[test]
    fn what_is_no_url_is_hidden_too() {
        assert_eq!(
            redacted_url("rtsp://me:p[a]ss@ho st/1"),
            "rtsp://***@ho st/1"
        );
        assert_eq!(redacted_url("rtsp://cam/1"), "rtsp://cam/1");
        assert_eq!(redacted_url("a@b"), "a@b");
    }
}
