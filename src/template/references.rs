//! Which other files a template names in its tags, so that they are compiled with it, before anything is rendered.

/// The files that a template includes, imports or extends by a name that is written in it. Names that are computed are
/// not among them; they are met when the template is rendered.
pub(super) fn named_in(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    let mut raw = false;
    while let Some(at) = rest.find(if raw { "{%" } else { "{" }) {
        rest = &rest[at..];
        if !raw && rest.starts_with("{#") {
            let end = rest.find("#}").map_or(rest.len(), |end| end + 2);
            rest = &rest[end..];
            continue;
        }
        let Some(tag) = rest.strip_prefix("{%") else {
            rest = &rest[1..];
            continue;
        };
        let end = tag.find("%}").unwrap_or(tag.len());
        let inside = tag[..end].trim_matches(['-', '+']).trim();
        let (word, argument) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
        match word {
            "raw" => raw = true,
            "endraw" => raw = false,
            "include" | "import" | "extends" | "from" if !raw => names.extend(literal(argument.trim_start())),
            _ => {}
        }
        rest = &tag[end..];
    }
    names
}

/// The text between quotes at the beginning, where nothing but a word follows: `"a" ~ b` is no name.
fn literal(argument: &str) -> Option<&str> {
    let quote = argument.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (name, after) = argument[1..].split_once(quote)?;
    let after = after.trim_start();
    (after.is_empty() || after.starts_with(char::is_alphabetic)).then_some(name).filter(|name| !name.contains('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_written_are_found_and_those_that_are_computed_or_not_meant_are_not() {
        for (text, names) in [
            ("{% include 'a.j2' %}{%- from \"b/c.j2\" import x -%}", &["a.j2", "b/c.j2"][..]),
            ("{% extends \"base.j2\" %}{%import 'm.j2' as m%}", &["base.j2", "m.j2"]),
            ("{% include \"a.j2\" ignore missing %}", &["a.j2"]),
            ("{% include \"a/\" ~ application.slug %}{% include name %}", &[]),
            ("{# {% include 'a.j2' %} #}{% raw %}{% include 'b.j2' %}{% endraw %}{% include 'c' %}", &["c"]),
            ("{{ x }}{ %include 'a' %}{% include", &[]),
        ] {
            assert_eq!(named_in(text), names, "{text}");
        }
    }
}
