"""Rules as forms, and how they stand."""

import pytest
from selenium.webdriver.support.select import Select


@pytest.fixture
def rules(page):
    page.open("#/cameras/table")
    page.find(".sentence")
    page.click("Rules")
    page.find('[data-rule="red-seen"]')
    return page


def saved(page, id):
    return next(
        (rule for rule in page.monitor.document["camera"][0].get("rule", []) if rule["id"] == id),
        None,
    )


def save(page):
    page.click("Save changes")
    page.gone(".savebar .button")


def within(page, css, label):
    """A field with a label in a part of the page."""
    return page.find(f"{css} input, {css} select", name=label)


def choose(page, css, label, words):
    Select(within(page, css, label)).select_by_visible_text(words)


def seconds(text):
    """Of PT2S or PT1M30S."""
    total, number = 0.0, ""
    for c in text.upper().removeprefix("PT"):
        if c.isdigit() or c == ".":
            number += c
        else:
            total += float(number) * {"H": 3600, "M": 60, "S": 1}[c]
            number = ""
    return total


def test_rules_are_said_in_words_with_their_state(rules):
    rules.find(
        '[data-rule="red-seen"]', "“a red object left of a blue object” is seen in left, for 2 s"
    )
    rules.find('[data-rule="red-seen"] .badge', "Alert")
    rules.find('[data-rule="no-cones"]', "“all cones” is not seen, at most every 1 min")


def test_looking_at_a_rule_changes_nothing(rules):
    rules.click("Edit rule red-seen")
    rules.click("Done")
    rules.find('[data-rule="red-seen"] h3')
    assert not rules.all(".savebar .button")


IN_LEFT = {"Where": "in zone left"}
CONDITIONS = [
    (
        "is seen",
        {**IN_LEFT, "What must be there": "its centre"},
        {"is": "present", "query": "red", "zone": "left", "anchor": "center"},
    ),
    ("is not seen", {}, {"is": "absent", "query": "red"}),
    ("number of them is", {"More than": "3"}, {"is": "count", "query": "red", "over": 3}),
    (
        "answer is",
        {"Sentence": "how many objects are there?", "Answer": "3"},
        {"is": "answer", "query": "count", "equals": "3"},
    ),
    ("enters a zone", IN_LEFT, {"is": "enters", "query": "red", "zone": "left"}),
    ("leaves a zone", IN_LEFT, {"is": "leaves", "query": "red", "zone": "left"}),
    (
        "stays in a zone",
        {**IN_LEFT, "For longer than": "1m 30s"},
        {"is": "dwells", "query": "red", "zone": "left", "longer_than": 90},
    ),
    (
        "crosses a line",
        {"Line": "gate", "Direction": "forward (along the arrow)"},
        {"is": "crosses", "query": "red", "line": "gate", "direction": "forward"},
    ),
    (
        "does not move",
        {"For longer than": "20s"},
        {"is": "still", "query": "red", "longer_than": 20},
    ),
    (
        "moves fast",
        {"Faster than (picture heights a second)": "0.25"},
        {"is": "moves", "query": "red", "faster_than": 0.25},
    ),
]


@pytest.mark.parametrize(
    ("kind", "fields", "condition"), CONDITIONS, ids=[kind for kind, _, _ in CONDITIONS]
)
def test_each_condition(rules, kind, fields, condition):
    rules.click("Add rule")
    form = ".rule.open"
    rules.type(within(rules, form, "Name"), "new")
    choose(rules, form, "Condition", kind)
    for label, words in fields.items():
        field = within(rules, form, label)
        if field.tag_name == "select":
            Select(field).select_by_visible_text(words)
        else:
            rules.type(field, words)
    rules.click("Done")
    save(rules)
    found = saved(rules, "new")["when"]
    for key, value in condition.items():
        one = seconds(found[key]) if key == "longer_than" else found[key]
        assert one == (pytest.approx(value) if isinstance(value, float) else value), found


def test_groups_of_conditions(rules):
    rules.click("Add rule")
    form = ".rule.open"
    rules.type(within(rules, form, "Name"), "both")
    choose(rules, form, "Condition", "all of these")
    rules.click("Add condition")
    second = ".rule.open .conditions > li:nth-child(2)"
    choose(rules, second, "Condition", "not")
    inner = f"{second} .conditions > li"
    choose(rules, inner, "Condition", "is seen")
    choose(rules, inner, "Sentence", "all cones")
    rules.click("Done")
    rules.find(
        '[data-rule="both"]',
        "“a red object left of a blue object” is seen and not (“all cones” is seen)",
    )
    save(rules)
    when = saved(rules, "both")["when"]
    assert when["is"] == "all"
    assert [(part["is"], part.get("query")) for part in when["of"]] == [
        ("present", "red"),
        ("not", None),
    ]
    assert when["of"][1]["of"]["query"] == "cones"


def test_times_frames_severity_and_schedule(rules):
    rules.click("Edit rule red-seen")
    form = ".rule.open"
    choose(rules, form, "Severity", "Detection")
    for label, text in [
        ("It must hold for", "3s"),
        ("It ends after", "1.5s"),
        ("At most one event in", "2m"),
    ]:
        rules.type(within(rules, form, label), text)
    rules.type(within(rules, form, "Results in a row that confirm it"), "4")
    rules.click("Add times")
    rules.script(
        "const set = (e, v) => { e.value = v; e.dispatchEvent(new Event('input')); };"
        "const [a, b] = document.querySelectorAll('.rule.open input[type=time]');"
        "set(a, '22:00'); set(b, '05:30')"
    )
    rules.type(within(rules, form, "Time zone"), "Europe/Berlin")
    for day in ("Mon", "Fri"):
        rules.pick(f"{form} .day", day)
    rules.click("Done")
    save(rules)
    rule = saved(rules, "red-seen")
    assert rule["severity"] == "detection"
    assert [seconds(rule[key]) for key in ("for", "clear", "every")] == [3, 1.5, 120]
    assert rule["frames"] == 4
    schedule = rule["schedule"][0]
    assert schedule["days"] == ["mon", "fri"]
    assert (schedule["from"][:5], schedule["to"][:5]) == ("22:00", "05:30")
    assert schedule["time_zone"] == "Europe/Berlin"


def test_what_is_wrong_is_said_at_its_field(rules):
    rules.click("Edit rule red-seen")
    form = ".rule.open"
    rules.type(within(rules, form, "Name"), "no-cones")
    rules.type(within(rules, form, "It must hold for"), "soon")
    rules.type(within(rules, form, "Results in a row that confirm it"), "0")
    choose(rules, form, "Condition", "number of them is")
    rules.click("Done")
    faults = [fault.text for fault in rules.all(f"{form} .fault") if fault.text]
    assert faults == [
        "There is one with this name already.",
        "Give one of the three numbers at least.",
        "Expected a time such as 2s or 1m 30s.",
        "Expected a whole number, 1 at least.",
    ]
    assert rules.focused_name() == "Name"
    assert within(rules, form, "It must hold for").get_attribute("value") == "soon"


@pytest.mark.stand_in
@pytest.mark.console("422")
def test_a_refusal_of_the_server_loses_nothing(rules):
    rules.click("Edit rule red-seen")
    rules.type(within(rules, ".rule.open", "It must hold for"), "7s")
    del rules.monitor.document["camera"][0]["query"][0]
    rules.click("Save changes") if rules.all(".savebar .button") else rules.click("Done")
    rules.click("Save changes")
    rules.find(".savebar .fault", 'rule "red-seen": there is no query "red"')
    rules.find('[data-rule="red-seen"]', "for 7 s")


def test_a_rule_is_switched_off_at_once(rules):
    toggle = rules.script("return document.querySelector('[data-rule=\"red-seen\"] .switch input')")
    rules.script("arguments[0].click()", toggle)
    rules.find('[data-rule="red-seen"] .state', "Off")
    assert saved(rules, "red-seen")["enabled"] is False
    toggle = rules.script("return document.querySelector('[data-rule=\"red-seen\"] .switch input')")
    rules.script("arguments[0].click()", toggle)
    rules.wait(lambda: "Off" not in rules.text('[data-rule="red-seen"] .state'))
    assert saved(rules, "red-seen").get("enabled", True) is True


def test_a_rule_is_removed(rules):
    rules.click("Remove rule no-cones")
    save(rules)
    assert saved(rules, "no-cones") is None


def test_a_rule_is_made_of_a_sentence(rules):
    rules.click("Make a rule of “a purple ball”")
    rules.find(".rule.open")
    rules.click("Done")
    rules.find('[data-rule="purple"]', "“a purple ball” is seen")
    save(rules)
    assert saved(rules, "purple")["when"]["query"] == "purple"


@pytest.mark.stand_in
def test_the_state_of_a_rule_is_live(rules):
    rules.find('[data-rule="red-seen"] .state', "Quiet")
    event = rules.monitor.event()
    rules.monitor.step(event, "new")
    rules.find('[data-rule="red-seen"] .state', "Event open since")
    rules.monitor.step(event, "end")
    rules.find('[data-rule="red-seen"] .state', "Quiet")
