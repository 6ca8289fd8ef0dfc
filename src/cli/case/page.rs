//! The timeline of a case as a page that opens in any browser, without a network: every text in it is inert.

use std::fmt::{self, Write};

use crate::cli::shown;
use crate::record::Record;

/// Characters of a text that are shown; the record's file has all of it.
const SHOWN: usize = 4000;

const STYLE: &str = "\
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}\
body{max-width:60rem;margin:2rem auto;padding:0 1rem}\
article{border-top:1px solid #8886;padding:.6rem 0}\
header{display:flex;flex-wrap:wrap;gap:.2rem 1rem}\
time,code,dl{font-variant-numeric:tabular-nums}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#8882;padding:.5rem;border-radius:4px;margin:.4rem 0}\
dl{display:grid;grid-template-columns:max-content auto;gap:.1rem 1rem}dd{margin:0}\
.failure{font-weight:600}";

/// The beginning of the page; `facts` are its lines above the records.
pub fn head(facts: &[(&str, String)]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Case</title>\n<style>{STYLE}</style>\n\
         <h1>Records in the order of time</h1>\n<dl>\n"
    );
    for (name, value) in facts {
        add(&mut page, format_args!("<dt>{}</dt><dd>{}</dd>\n", inert(name), inert(value)));
    }
    page.push_str("</dl>\n");
    page
}

/// One record; `name` is that of its files.
pub fn entry(record: &Record<'_>, name: &str, is_sealed: bool) -> String {
    let whole = |text: &str| inert(&shown::line(text, 200));
    let time = record.time.as_deref().unwrap_or("no time");
    let mut page = format!(
        "<article id=\"{name}\">\n<header><time>{}</time> <strong>{} {}</strong> <span>{}</span>",
        inert(time),
        record.category,
        whole(&shown::value(record.action)),
        whole(&shown::user(record)),
    );
    if let Some(result) = record.outcome.result {
        add(&mut page, format_args!(" <span class=\"{result}\">{result}</span>"));
    }
    let model = record.model.response.or(record.model.request);
    for token in [model, record.tool_call.name].into_iter().flatten() {
        add(&mut page, format_args!(" <span>{}</span>", whole(&shown::value(Some(token)))));
    }
    let proof = if is_sealed {
        format!("<a href=\"proofs/{name}.json\">proof</a>")
    } else {
        "not sealed yet".to_owned()
    };
    add(&mut page, format_args!(" <a href=\"records/{name}.json\">record</a> {proof}</header>\n"));
    let call = &record.tool_call;
    for token in
        [record.prompt_text, record.response_text, call.arguments, call.result, record.outcome.message]
            .into_iter()
            .flatten()
    {
        let text = shown::value(Some(token));
        let end = text.char_indices().nth(SHOWN).map_or(text.len(), |(at, _)| at);
        let lines: Vec<String> = shown::lines(&text[..end]).collect();
        let more = if end < text.len() { "\n…" } else { "" };
        add(&mut page, format_args!("<pre>{}{more}</pre>\n", inert(&lines.join("\n"))));
    }
    page.push_str("</article>\n");
    page
}

fn add(page: &mut String, part: fmt::Arguments<'_>) {
    page.write_fmt(part).expect("a string takes every text");
}

/// A text that no browser takes for anything else.
fn inert(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_a_text() {
        assert_eq!(inert("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
        let page = head(&[("from", "</dl><b>".into())]);
        assert!(page.contains("&lt;/dl&gt;&lt;b&gt;") && !page.contains("<b>"));
    }
}
