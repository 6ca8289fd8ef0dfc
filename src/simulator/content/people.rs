//! Who appears in the records: invented people, devices and places.

use super::Maker;
use crate::simulator::API_KEY;

/// Somebody at example.com.
#[derive(Debug)]
pub(in crate::simulator) struct Person {
    /// Upstream id.
    pub id: &'static str,
    /// The part before the at sign.
    pub mail: &'static str,
    /// As written on a badge.
    pub name: &'static str,
    /// From a documentation range.
    pub ip: &'static str,
    /// What they usually work with.
    pub client: &'static str,
}

const fn person(
    id: &'static str,
    mail: &'static str,
    name: &'static str,
    ip: &'static str,
    client: &'static str,
) -> Person {
    Person { id, mail, name, ip, client }
}

/// All people; those at the front do most.
pub(in crate::simulator) const PEOPLE: [Person; 12] = [
    person("user-k4Tn81QwE", "ines.moreau", "Inès Moreau", "192.0.2.31", "CODEX_CLI"),
    person("user-p7Lx20VbS", "tomasz.w", "Tomasz Wójcik", "198.51.100.77", "CODEX_CLI"),
    person("user-r1Hd63YcA", "aiko.t", "Aiko Tanaka", "203.0.113.90", "CODEX_IDE_VSCODE"),
    person("user-m9Gs45JfU", "dele.ade", "Dele Adeyemi", "192.0.2.108", "CODEX_WEB"),
    person("user-v3Zq72NpI", "lena.brandt", "Lena Brandt", "198.51.100.14", "CODEX_DESKTOP_APP"),
    person("user-w8Cb19RkO", "omar.nasser", "عمر ناصر", "203.0.113.201", "CODEX_CLI"),
    person("user-x2Fy56TmB", "grace.h", "Grace Hallam", "2001:db8:7::2a", "CODEX_SLACK"),
    person("user-y6Jv38LdC", "mateo.ruiz", "Mateo Ruiz", "192.0.2.222", "CODEX_IDE_JETBRAINS_IDEA"),
    person("user-z5Nw94SgD", "sofia.lind", "Sofia Lindström", "198.51.100.160", "CODEX_SDK_TS"),
    person("user-a8Pk27XhF", "jun.park", "박준", "203.0.113.55", "CODEX_GITHUB_ACTION"),
    person("user-b0Rt61ZjG", "nadia.ko", "Nadia Kovač", "2001:db8:7::91", "CODEX_CLI"),
    person("user-c4Uy85BnH", "admin.desk", "Admin Desk", "192.0.2.5", "CODEX_WEB"),
];

const PLACES: [&str; 5] = [
    r#"{"country":"NL","city":"Delft","region":"South Holland","region_code":"ZH","asn":"64500","latitude":"52.0116","longitude":"4.3571"}"#,
    r#"{"country":"JP","city":"Kobe","region":"Hyōgo","region_code":"28","asn":"64501","latitude":"34.6901","longitude":"135.1955"}"#,
    r#"{"country":"US","city":"Boise","region":"Idaho","region_code":"ID","asn":"64502","latitude":"43.6150","longitude":"-116.2023"}"#,
    r#"{"country":"DE","city":"Köln","region":"","region_code":"","latitude":"50.9375","longitude":"6.9603"}"#,
    r#"{"country":"NG","city":"Ibadan","region":"Oyo","region_code":"OY","asn":"64503","latitude":"7.3775","longitude":"3.9470"}"#,
];

const PROGRAMS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64) PlainBrowser/14.2",
    "Mozilla/5.0 (Macintosh) PlainBrowser/14.0",
    "codex_cli_rs/0.72.1 (linux; x86_64)",
    "PlainPhone/6.1 (mobile; build 1204)",
];

impl Maker {
    /// A person as the actor; some act through an access token.
    pub(super) fn user(&mut self, person: &Person) {
        self.raw("{\"type\":\"ACCOUNT_USER\"").text("user_id", person.id);
        self.raw(",\"user_email\":\"").raw(person.mail).raw("@example.com\"");
        if person.client == "CODEX_GITHUB_ACTION" {
            self.text("credential_id", "pat_2Wm8invented5");
        }
        self.raw("}");
    }

    /// The collector's own key, as it is shown in records.
    pub(super) fn own_key(&mut self) {
        let end = API_KEY.len().saturating_sub(4);
        self.raw("{\"type\":\"API_KEY\"").text("redacted_id", &format!("sk-...{}", &API_KEY[end..]));
        self.raw("}");
    }

    /// `,"request_metadata":{…}` of somebody at `ip`.
    pub(super) fn request(&mut self, ip: &str) {
        self.raw(",\"request_metadata\":{\"client_ip\":\"").raw(ip).raw("\"");
        if self.one_in(2) {
            let place = self.pick(&PLACES);
            self.raw(",\"client_ip_details\":").raw(place);
        }
        let program = self.pick(&PROGRAMS);
        self.text("client_user_agent", program);
        if self.one_in(5) {
            let print = self.random.u128(..);
            self.text("client_ja3", &format!("{print:032x}"));
            let print = print >> 80;
            self.text("client_ja4", &format!("t13d1516h2_{print:012x}_8daaf6152771"));
        }
        if self.one_in(8) {
            self.raw(",\"destination_hostname\":null");
        } else {
            self.text("destination_hostname", "chatgpt.com");
        }
        self.raw("}");
    }
}
