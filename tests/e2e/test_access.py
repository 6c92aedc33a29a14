"""Who may see what, asked of the running site."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.e2e.conftest import Readable
from tests.e2e.visitor import Visitor


def _private_paths(owner: Visitor, case_path: str, scan_path: str) -> list[str]:
    """Every address that shows something of the scan."""
    analysis = owner.wait_until_read(scan_path)
    assert analysis["status"] == "succeeded", analysis
    marked = next(finding for finding in analysis["findings"] if finding["heatmap_url"])
    base = f"/analyses/{analysis['id']}"
    api = f"/api/v1/analyses/{analysis['id']}/"
    return [
        case_path,
        f"{case_path}scans/list/",
        scan_path,
        *(
            scan_path + name
            for name in ("scan.nii.gz", "display.nii.gz", "preview.png", "slice.png", "original/")
        ),
        f"{base}/fragment/",
        *(f"{base}/findings/{marked['id']}/heatmap.{ending}" for ending in ("nii.gz", "png")),
        api,
        *(f"{api}findings/{marked['id']}/{name}/" for name in ("heatmap", "heatmap-png")),
    ]


def test_only_the_patient_and_an_invited_doctor_see_a_scan(
    visit: Callable[..., Visitor], readable: Readable
) -> None:
    owner, stranger = visit().become_patient("Ida Insider"), visit().become_patient("Sam Stranger")
    doctor = visit().become_doctor()
    case_path = owner.open_case("chest_xray")
    scan_path = owner.send(case_path, readable.chest)
    paths = _private_paths(owner, case_path, scan_path)

    def statuses(visitor: Visitor) -> dict[str, int]:
        return {path: visitor.status(path) for path in paths}

    # The progress of a finished reading leads to its result.
    seen = {path: 302 if path.endswith("/fragment/") else 200 for path in paths}
    hidden = dict.fromkeys(paths, 404)

    assert statuses(owner) == seen
    assert statuses(stranger) == hidden
    assert statuses(doctor) == hidden
    assert set(statuses(visit()).values()) <= {302, 401, 403, 404}
    assert stranger.api("/api/v1/cases/")["count"] == 0

    owner.let_read(doctor)
    owner.goto("/account/sharing/")
    owner.look("sharing-with-a-doctor")

    assert statuses(doctor) == seen
    assert statuses(stranger) == hidden
    page = doctor.goto("/cases/")
    expect(page.get_by_text("Ida Insider")).to_be_visible()
    doctor.look("doctor-cases")
    doctor.goto(case_path)
    expect(page.get_by_text("only the patient can change it")).to_be_visible()
    assert page.locator("#upload-form").count() == 0
    doctor.look("doctor-case")
    doctor.goto(scan_path)
    expect(page.locator(".danger-banner")).to_be_visible()
    doctor.viewer()
    doctor.look("doctor-result")
    assert doctor.status(f"{case_path}delete/") == 403
    assert doctor.status(f"{case_path}edit/") == 403

    owner.goto("/account/sharing/")
    owner.page.get_by_role("button", name="Stop sharing").click()
    expect(owner.page.get_by_text("This doctor can no longer read")).to_be_visible()
    assert statuses(doctor) == hidden
    doctor.expected_statuses.add(404)
    doctor.goto(scan_path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    doctor.look("not-found")
