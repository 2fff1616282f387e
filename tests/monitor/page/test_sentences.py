"""Typing, changing and removing sentences."""

import pytest
from selenium.webdriver.common.keys import Keys


@pytest.fixture
def table(page):
    page.open("#/cameras/table")
    page.find(".sentence")
    return page


def queries(page):
    return page.monitor.document["camera"][0].get("query", [])


def texts(page):
    return [query["text"] for query in queries(page)]


def prompt(page):
    return page.find("#prompt")


def test_type_press_enter_and_it_watches(table):
    prompt(table).send_keys("[a blue object] behind a ball", Keys.ENTER)
    table.find(".sentence .words", "a blue object behind a ball")
    assert texts(table)[-1] == "[a blue object] behind a ball"
    assert queries(table)[-1]["id"] == "blue-object"
    assert prompt(table).get_attribute("value") == ""
    assert table.find('[data-query="blue-object"] .target').text == "a blue object"
    table.find('[data-query="blue-object"] .found:not(:empty)')
    table.wait(lambda: "No result yet" not in table.text('[data-query="blue-object"] .found'))


def test_what_is_wrong_with_brackets_is_said_at_once(table):
    before = texts(table)
    for text, words in [
        ("[a person", "is not closed"),
        ("a person] x", "without “[”"),
        ("a [] b", "nothing between the brackets"),
        ("   ", "Type what to look for"),
    ]:
        table.type(prompt(table), text)
        prompt(table).send_keys(Keys.ENTER)
        table.find("#prompt-fault", words)
        assert prompt(table).get_attribute("value") == text
    assert texts(table) == before
    prompt(table).send_keys("x")
    table.gone("#prompt-fault")


def test_brackets_are_explained(table):
    table.click("How to write a sentence")
    table.find(".help", "[a person] without a helmet")


@pytest.mark.stand_in
@pytest.mark.console("422")
def test_what_the_server_refuses_is_said_at_the_field_and_nothing_is_lost(table):
    prompt(table).send_keys("a forbidden thing", Keys.ENTER)
    table.find("#prompt-fault", "the model takes at most 16")
    assert prompt(table).get_attribute("value") == "a forbidden thing"
    assert prompt(table).get_attribute("aria-invalid") == "true"


@pytest.mark.stand_in
@pytest.mark.console("412")
def test_a_conflict_reads_again_and_keeps_the_text(table):
    # The page does not hear of the change.
    table.monitor.revision += 1
    prompt(table).send_keys("a gray cube", Keys.ENTER)
    table.find("#prompt-fault", "changed meanwhile")
    assert prompt(table).get_attribute("value") == "a gray cube"
    prompt(table).send_keys(Keys.ENTER)
    table.find(".sentence .words", "a gray cube")


@pytest.mark.stand_in
@pytest.mark.console("ERR_CONNECTION_REFUSED", "WebSocket", "ERR_INCOMPLETE")
def test_without_the_program_the_text_is_kept(table):
    prompt(table).send_keys("a gray cube")
    table.monitor.stop()
    try:
        prompt(table).send_keys(Keys.ENTER)
        table.find("#prompt-fault", "not reached")
        assert prompt(table).get_attribute("value") == "a gray cube"
    finally:
        table.monitor.start()
    table.gone('[data-banner="link"]')


def test_a_sentence_is_changed_with_its_thresholds(table):
    table.click("Edit “all cones”")
    table.type(table.field("Sentence"), "[all small cones]")
    table.type(table.field("Score threshold"), "0,75")
    table.type(table.field("Phrase threshold"), "0.5")
    table.field("Sentence").send_keys(Keys.ENTER)
    table.find(".sentence .words", "all small cones")
    changed = next(query for query in queries(table) if query["id"] == "cones")
    assert changed["text"] == "[all small cones]"
    assert changed["score_threshold"] == pytest.approx(0.75)
    assert changed["phrase_threshold"] == pytest.approx(0.5)


def test_thresholds_and_ids_are_checked(table):
    table.click("Edit “all cones”")
    table.type(table.field("Score threshold"), "1.5")
    table.type(table.field("Id"), "red")
    table.click("Save")
    faults = [fault.text for fault in table.all("[data-form=query] .fault") if fault.text]
    assert faults == [
        "There is a sentence with this id already.",
        "Expected a number from 0 to 1, or nothing.",
    ]
    table.type(table.field("Id"), " ")
    table.click("Save")
    table.find("[data-form=query] .fault", "Expected an id")
    table.click("Cancel")
    table.gone("[data-form=query]")
    assert texts(table)[1] == "all cones"


def test_escape_leaves_the_form(table):
    table.click("Edit “all cones”")
    table.field("Sentence").send_keys("x", Keys.ESCAPE)
    table.gone("[data-form=query]")
    assert table.focused_name() == "Edit “all cones”"


def test_a_sentence_is_removed(table):
    table.click("Remove “a purple ball”")
    table.gone('[data-query="purple"]')
    assert [query["id"] for query in queries(table)] == ["red", "cones", "count"]


def test_a_sentence_that_rules_use_is_not_removed(table):
    table.click("Remove “[a red object] left of a blue object”")
    table.find(".fault", "Rules use this sentence: red-seen")
    assert len(queries(table)) == 4


def test_text_from_outside_is_never_markup(table):
    prompt(table).send_keys("<img src=x onerror=alert(1)> <b>bold</b>", Keys.ENTER)
    words = table.find(".sentence .words", "<b>bold</b>")
    assert words.text == "<img src=x onerror=alert(1)> <b>bold</b>"
    assert table.script("return document.querySelectorAll('.words img, .words b').length") == 0


def test_other_scripts(table):
    for text in ("[赤い玉] の左", "[כדור אדום] ליד קובייה"):
        prompt(table).send_keys(text, Keys.ENTER)
        table.find(".sentence .target", text[1 : text.index("]")])
        assert texts(table)[-1] == text


def test_changes_of_others_are_seen_and_typing_goes_on(table):
    prompt(table).send_keys("half a sen")
    if hasattr(table.monitor, "change"):
        table.monitor.change(
            lambda document: document["camera"][0]["query"].append(
                {"id": "new", "text": "a tiny cube"}
            )
        )
    else:
        watch = {"queries": [*queries(table), {"id": "new", "text": "a tiny cube"}]}
        table.monitor.ask("PUT", "/api/cameras/table/watch", watch)
    table.find(".sentence .words", "a tiny cube")
    assert prompt(table).get_attribute("value") == "half a sen"
    assert table.focused() == prompt(table)


def test_a_new_id_reaches_the_rules(table):
    table.click("Edit “[a red object] left of a blue object”")
    table.type(table.field("Id"), "left-red")
    table.click("Save")
    table.find('[data-query="left-red"]')
    camera = table.monitor.document["camera"][0]
    assert camera["query"][0]["id"] == "left-red"
    assert camera["rule"][0]["when"]["query"] == "left-red"
