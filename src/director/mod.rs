//! The Director: who we are, which applications we may use, and what we report back.

/// stub
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct PageSize(u16);
impl Default for PageSize {
    fn default() -> Self {
        Self(100)
    }
}
impl TryFrom<u16> for PageSize {
    type Error = String;
    fn try_from(n: u16) -> Result<Self, String> {
        if (1..=200).contains(&n) { Ok(Self(n)) } else { Err("1 to 200".into()) }
    }
}
impl From<PageSize> for u16 {
    fn from(p: PageSize) -> u16 {
        p.0
    }
}
