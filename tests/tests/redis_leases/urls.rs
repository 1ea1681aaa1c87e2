//! URLs of Redis, as people write them.

use rtmanager::adapters::redis::RedisEndpoint;

fn shown(url: &str) -> String {
    url.parse::<RedisEndpoint>().unwrap().to_string()
}

#[test]
fn every_form_is_taken_and_shown_without_its_password() {
    for (url, expected) in [
        ("redis://h", "redis://h:6379/0"),
        ("redis://h:1/", "redis://h:1/0"),
        ("redis://[::1]/3", "redis://[::1]:6379/3"),
        ("redis://:p%40ss@h", "redis://:***@h:6379/0"),
        ("rediss://ada:p@h:2/1", "rediss://ada:***@h:2/1"),
        ("redis+unix:///run/a%20b.sock", "redis+unix:///run/a b.sock?db=0"),
        ("redis+unix:///r.sock?db=2&user=ada&pass=p", "redis+unix://ada:***@/r.sock?db=2"),
        ("redis+sentinel://h1,h2:1/m", "redis+sentinel://h1:26379,h2:1/m?db=0"),
        ("rediss+sentinel://:p@h/m?sentinel_pass=q&db=4", "rediss+sentinel://:***@h:26379/m?db=4"),
        ("redis+cluster://h1:1,h2", "redis+cluster://h1:1,h2:6379"),
        ("rediss+cluster://ada:p@h1/", "rediss+cluster://ada:***@h1:6379"),
    ] {
        assert_eq!(shown(url), expected);
        assert_eq!(format!("{:?}", url.parse::<RedisEndpoint>().unwrap()), format!("RedisEndpoint({expected})"));
    }
}

const WRONG: [&str; 26] = [
    "localhost:6379",
    "http://h",
    "redis+tls://h",
    "redis://",
    "redis://h:port",
    "redis://h:0",
    "redis://h1,h2",
    "redis://h/games",
    "redis://h/-1",
    "redis://h?db=1",
    "redis://:hush/hush@h",
    "redis://:hush@hush@h",
    "redis://:hush:hush@h",
    "redis://:hush#hush@h",
    "redis://:hush?hush@h",
    "redis://:hush%@h",
    "redis://:hush%ff@h",
    "rediss://h#insecure",
    "redis+unix://run/redis.sock",
    "redis+unix:///r.sock?password=hush",
    "redis+unix:///r.sock?pass=hush&hush",
    "redis+unix:///r.sock?db=1&db=2",
    "redis+sentinel://h",
    "redis+sentinel://h,/m",
    "redis+cluster://h1:1,h2:2/1",
    "redis+cluster://h1?db=0",
];

#[test]
fn what_cannot_be_used_is_answered_with_what_would_be_right() {
    let answers = WRONG.map(|url| format!("{url}\n    {}\n", url.parse::<RedisEndpoint>().unwrap_err()));
    insta::assert_snapshot!(answers.concat());
}

#[test]
fn no_message_shows_a_part_of_a_password() {
    for url in WRONG {
        let error = url.parse::<RedisEndpoint>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{url}");
    }
}
