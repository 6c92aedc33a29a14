"""A dropped folder with more files than are taken at once: it is refused in words, not cut off."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.e2e.visitor import Visitor

# What a browser hands out for a dropped folder: a directory in pieces of a hundred.
_DROP_FOLDER = """([name, count]) => {
  const left = Array.from({length: count}, (_, n) => ({
    isFile: true,
    fullPath: `/${name}/note${n}.txt`,
    file: (done) => done(new File(["x"], `note${n}.txt`)),
  }));
  const folder = {
    name,
    isDirectory: true,
    createReader: () => ({readEntries: (done) => done(left.splice(0, 100))}),
  };
  const event = new Event("drop", {bubbles: true, cancelable: true});
  event.dataTransfer = {items: [{webkitGetAsEntry: () => folder}], files: []};
  document.getElementById("drop-zone").dispatchEvent(event);
}"""


def test_a_folder_with_too_many_files_is_refused(visit: Callable[..., Visitor]) -> None:
    visitor = visit().become_patient()
    page = visitor.goto(visitor.open_case("chest_xray"))
    most = int(page.locator("#upload-form").get_attribute("data-max-files") or 0)
    page.evaluate(_DROP_FOLDER, ["small-disc", most])
    expect(page.locator(".upload-row.is-note")).to_contain_text(f"{most} files of the folder were left out")
    expect(page.locator(".upload-row.is-refused")).to_have_count(0)
    page.evaluate(_DROP_FOLDER, ["large-disc", most + 2])
    refused = page.locator(".upload-row.is-refused")
    expect(refused).to_contain_text("large-disc")
    expect(refused).to_contain_text(f"These are more than {most} files")
