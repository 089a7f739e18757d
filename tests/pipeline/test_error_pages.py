import pytest

from pipeline.sources.download.error_pages import classify_page, is_html

QUOTA = """<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>
<p class="uc-error-caption">Sorry, you can&#39;t view or download this file at this time.</p>
<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently. Please try accessing the
file again later. If the file you are trying to access is particularly large or is shared with many people, it may take
up to 24 hours to be able to view or download the file.</p></body></html>"""
SCAN = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<p class="uc-warning-caption">Google Drive can't scan this file for viruses.</p>
<form id="download-form" action="https://drive.usercontent.google.com/download" method="get"></form></body></html>"""
MISSING = """<html lang="en"><head><title>Google Drive - Page Not Found</title></head><body>
<p>Sorry, the file you have requested does not exist.</p>
<a href="https://accounts.google.com/">Sign in</a></body></html>"""
ACCESS = """<!DOCTYPE html><html><head><title>Google Drive - Access Denied</title></head><body>
<h1>You need access</h1><p>Ask for access, or switch to an account with access.</p>
<button>Request access</button></body></html>"""
GOOGLE = """<!doctype html><html><head><title>Sign in - Google Accounts</title></head><body></body></html>"""
LIVE = """<!DOCTYPE html><html><head><title>Sign in to your Microsoft account</title></head></html>"""
ONEDRIVE = """<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body>
<form action="https://login.microsoftonline.com/common/login"></form></body></html>"""
ONEDRIVE_MISSING = """<html><body>This item might not exist or is no longer available.</body></html>"""
OTHER = """<html><head><title>Maintenance</title></head><body>back soon</body></html>"""


@pytest.mark.parametrize(
    ("page", "kind", "expected"),
    [
        (QUOTA, "quota", "after 24 hours"),
        (SCAN, "scan", "drive:FILE_ID"),
        (MISSING, "missing", "no longer exists"),
        (ACCESS, "access", "ask its owner"),
        (GOOGLE, "sign_in", "Google requires a sign-in"),
        (LIVE, "sign_in", "Microsoft requires a sign-in"),
        (ONEDRIVE, "sign_in", "Microsoft requires a sign-in"),
        (ONEDRIVE_MISSING, "missing", "no longer exists"),
        (OTHER, "other", "'maintenance'"),
    ],
)
def test_each_page_is_classified(page, kind, expected):
    found = classify_page(page)
    assert found.kind == kind
    assert expected in found.reason and "\n" not in found.reason


@pytest.mark.parametrize("host", ["accounts.google.com", "login.live.com", "login.microsoftonline.com"])
def test_a_page_of_a_sign_in_host_is_a_sign_in_page(host):
    assert classify_page("<html></html>", f"https://{host}/x").kind == "sign_in"


def test_gdowns_quota_message_is_classified():
    assert classify_page(
        "Failed to retrieve file url:\n\n\tToo many users have viewed or\n\tdownloaded this file"
    ).kind == ("quota")


def test_gdowns_access_message_is_classified():
    assert (
        classify_page("Cannot retrieve the public link of the file. You may need to change the permission").kind
        == "access"
    )


@pytest.mark.parametrize("start", [b"<!DOCTYPE html>", b"\n <HTML lang=en>", b"\xef\xbb\xbf<!doctype HTML>"])
def test_html_is_recognized_without_its_content_type(start):
    assert is_html(start, "application/octet-stream")


def test_an_image_sent_as_html_is_not_a_page():
    assert not is_html(b"\x89PNG\r\n", "text/html")


def test_xml_is_not_a_page():
    assert not is_html(b"<?xml version='1.0'?>", "application/xml")
