"""Untrusted zips and tars: which members are read, which are left out, and which archives are refused."""

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import random
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import FacemaskError
from pipeline.sources import untrusted_archives
from pipeline.sources.untrusted_archives import is_archive, open_archive

NOISE = random.Random(0).randbytes(5000)  # compresses as little as an image
FILES = {"a.png": NOISE[:3000], "deep/b.jpg": NOISE[1000:], "deep/c.png": b"c" * 700, "d.txt": b"d"}
FORMS = ("stored.zip", "deflated.zip", "x.tar", "x.tar.gz", "x.tgz", "x.tar.bz2", "x.tar.xz")
TARS = FORMS[2:]


def zipped(files, method=zipfile.ZIP_DEFLATED):
    """A zip of pairs (name or ZipInfo, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files, form=tarfile.PAX_FORMAT):
    """A tar of pairs (name or TarInfo, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def packed(name, files):
    """An archive in the form of its name."""
    if name.endswith(".zip"):
        return zipped(files, zipfile.ZIP_STORED if name.startswith("stored") else zipfile.ZIP_DEFLATED)
    tar = tarred(files)
    if name.endswith("gz"):
        return gzip.compress(tar, mtime=0)
    return bz2.compress(tar) if name.endswith("bz2") else lzma.compress(tar) if name.endswith("xz") else tar


def contents(path):
    with open_archive(path) as members:
        return {member.path: member.read() for member in members}


@pytest.fixture
def put(tmp_path):
    def put(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return put


def with_directory(content, change):
    """A zip changed by `change(bytearray of the zip, offset of its first directory entry)`."""
    changed = bytearray(content)
    change(changed, content.index(b"PK\x01\x02"))
    return bytes(changed)


# Members that are read


@pytest.mark.parametrize("name", ["a.zip", "A.ZIP", "deep/a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.b.tar.xz"])
def test_zips_and_tars_are_archives_by_their_extension(name):
    assert is_archive(name)


@pytest.mark.parametrize("name", ["a.png", "zip", "a.zip.part", "a.gz", "a.rar", "tar/a.png"])
def test_other_extensions_are_not_archives(name):
    assert not is_archive(name)


@pytest.mark.parametrize("form", FORMS)
def test_members_are_read_in_the_archives_order(put, form):
    assert list(contents(put(form, packed(form, FILES.items()))).items()) == list(FILES.items())


@pytest.mark.parametrize("form", FORMS)
def test_an_archive_can_be_empty(put, form):
    assert contents(put(form, packed(form, []))) == {}


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_printed_for_an_intact_archive(put, form, capsys):
    contents(put(form, packed(form, FILES.items())))
    assert capsys.readouterr().out == ""


def test_a_tar_that_a_browser_decompressed_is_read_under_its_old_name(put):
    assert contents(put("x.tar.gz", packed("x.tar", FILES.items()))) == FILES


@pytest.mark.parametrize("form", ["x.zip", "x.tar"])
def test_folders_and_hidden_files_are_skipped_silently(put, form, capsys):
    hidden = ["folder/", "__MACOSX/._a.png", ".DS_Store", ".git/a.png", "deep/.thumbs/b.png", "./.c.png"]
    assert contents(put(form, packed(form, [(name, b"") for name in hidden] + [("a.png", b"a")]))) == {"a.png": b"a"}
    assert capsys.readouterr().out == ""


def test_dots_and_backslashes_in_names_are_normalized(put):
    files = [("./a.png", b"a"), ("deep\\b.png", b"b"), ("deep//c.png", b"c")]
    assert list(contents(put("x.tar", tarred(files)))) == ["a.png", "deep/b.png", "deep/c.png"]


def test_zip_names_are_utf8_or_cp437_by_their_flag(put):
    names = ["ä.png", "名.png", "a b.png"]
    cp437 = zipped([("a?.png", b"x")]).replace(b"a?.png", b"a\x84.png")
    assert list(contents(put("x.zip", zipped([(name, b"x") for name in names])))) == names
    assert list(contents(put("y.zip", cp437))) == ["aä.png"]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_tar_name_that_is_not_utf8_becomes_text(put, form):
    (name,) = contents(put("x.tar", tarred([(b"a\x84.png".decode("utf-8", "surrogateescape"), b"x")], form)))
    assert name == "aä.png"


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_in_tars_are_complete(put, form):
    name = "folder/" * 60 + "名.png"
    assert list(contents(put("x.tar", tarred([(name, b"x")], form)))) == [name]


def test_an_archive_in_an_archive_is_a_file(put):
    inner = zipped(FILES.items())
    assert contents(put("x.zip", zipped([("inner.zip", inner)]))) == {"inner.zip": inner}


def test_equal_content_has_an_equal_signature_in_any_zip(put):
    signatures = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = put(f"{method}.zip", zipped([("a", b"same"), ("b", b"same"), ("c", b"else")], method))
        with open_archive(path) as members:
            signatures += [member.signature for member in members]
    assert signatures == [f"4 {zlib.crc32(word):08x}" for word in (b"same", b"same", b"else")] * 2


def test_signatures_differ_between_members_and_versions_of_a_tar(put):
    found = set()
    for second in (b"same", b"else"):
        path = put("x.tar", tarred([("a", b"same"), ("b", second)]))
        time.sleep(0.01)  # more than a tick of the file system's clock
        path.touch()
        with open_archive(path) as members:
            found |= {member.signature for member in members}
    assert len(found) == 4


# Members that are left out


@pytest.mark.parametrize(
    "name",
    ["/a.png", "../a.png", "b/../../a.png", "b/..", "..\\a.png", "C:\\a.png", "c:a.png", "\\\\host\\a", "a\nb", "\x9b"],
)
@pytest.mark.parametrize("form", ["x.zip", "x.tar"])
def test_names_that_leave_the_folder_or_have_control_characters_are_left_out(put, form, name, capsys):
    path = put(form, packed(form, [(name, b"1"), ("ok.png", b"2"), (f"{name}/../../x", b"3")]))
    assert contents(path) == {"ok.png": b"2"}
    assert capsys.readouterr().out == (
        f"{path}: 2 left out (names that leave the folder or have control characters); the first is {name!r}\n"
    )


def test_a_zip_name_with_a_nul_is_left_out(put):
    content = zipped([("a.png?.exe", b"x"), ("ok.png", b"y")]).replace(b"a.png?.exe", b"a.png\0.exe")
    assert contents(put("x.zip", content)) == {"ok.png": b"y"}


def zip_entry(name, mode):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def tar_entry(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_in_zips_are_left_out(put, kind, capsys):
    files = [(zip_entry("link.png", kind | 0o777), b"/etc/passwd"), (zip_entry("ok.png", stat.S_IFREG | 0o644), b"x")]
    path = put("x.zip", zipped(files))
    assert contents(path) == {"ok.png": b"x"}
    assert (
        capsys.readouterr().out
        == f"{path}: 1 left out (links, devices or other special files); the first is 'link.png'\n"
    )


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"Z"])
def test_links_and_devices_in_tars_are_left_out(put, kind, capsys):
    path = put("x.tar", tarred([(tar_entry("link.png", kind, "/etc/passwd"), b""), ("ok.png", b"x")]))
    assert contents(path) == {"ok.png": b"x"}
    assert (
        capsys.readouterr().out
        == f"{path}: 1 left out (links, devices or other special files); the first is 'link.png'\n"
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("form", ["x.zip", "x.tar"])
def test_of_members_with_equal_names_the_first_is_read(put, form, capsys):
    path = put(form, packed(form, [("a.png", b"1"), ("a.png", b"22"), ("./a.png", b"3")]))
    assert contents(path) == {"a.png": b"1"}
    assert capsys.readouterr().out == f"{path}: 2 left out (names that came before); the first is 'a.png'\n"


@pytest.mark.parametrize("form", FORMS)
def test_a_member_above_the_size_limit_is_left_out(put, form, monkeypatch, capsys):
    monkeypatch.setattr(untrusted_archives, "MAX_MEMBER_BYTES", 3999)
    path = put(form, packed(form, FILES.items()))
    with open_archive(path) as members:
        assert [member.path for member in members] == ["a.png", "deep/c.png", "d.txt"]
    assert capsys.readouterr().out == f"{path}: 1 left out (larger than 200,000,000 bytes); the first is 'deep/b.jpg'\n"


def test_a_zip_member_above_the_compression_ratio_is_left_out_unless_it_is_small(put, capsys):
    path = put("x.zip", zipped([("bomb.png", bytes(2_000_000)), ("white.bmp", bytes(900_000))]))
    assert list(contents(path)) == ["white.bmp"]
    assert capsys.readouterr().out == f"{path}: 1 left out (compressed more than 200-fold); the first is 'bomb.png'\n"


# Damaged members


def test_a_zip_member_with_a_wrong_checksum_is_empty(put, capsys):
    content = packed("stored.zip", FILES.items()).replace(FILES["a.png"][:9], b"elsewhere")
    path = put("x.zip", content)
    assert contents(path) == FILES | {"a.png": b""}
    assert capsys.readouterr().out == f"{path}/a.png cannot be read: Bad CRC-32 for file 'a.png'\n"


def encrypt(content, entry):
    content[entry + 8] |= 1  # flag bits
    content[6] |= 1


def test_an_encrypted_zip_member_is_empty(put, capsys):
    path = put("x.zip", with_directory(zipped([("a.png", b"secret")]), encrypt))
    assert contents(path) == {"a.png": b""}
    assert capsys.readouterr().out == f"{path}/a.png cannot be read: it is encrypted\n"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_member_with_an_unsupported_compression_is_empty(put, method, capsys):
    path = put("x.zip", zipped([("a.png", b"a")], method))
    assert contents(path) == {"a.png": b""}
    assert capsys.readouterr().out == f"{path}/a.png cannot be read: compression method {method} is not supported\n"


@pytest.mark.parametrize("declared", [0, 1, 1000, 900_000, 11_000_000, 200_000_000])
def test_a_zip_member_with_a_wrong_size_is_empty_and_takes_no_more_memory_than_declared(put, declared, monkeypatch):
    monkeypatch.setattr(untrusted_archives, "MAX_RATIO", 1_000_000)

    def declare(content, entry):
        struct.pack_into("<I", content, entry + 24, declared)

    path = put("x.zip", with_directory(zipped([("a.png", bytes(10_000_000))]), declare))
    with open_archive(path) as (member,):
        tracemalloc.start()
        assert member.read() == b""
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 200_000 + 4 * min(declared, 10_000_000)


@pytest.mark.parametrize("form", FORMS)
def test_an_error_of_the_disk_is_an_error_and_no_empty_member(put, form, monkeypatch):
    path = put(form, packed(form, FILES.items()))

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    with open_archive(path) as members:
        monkeypatch.setattr(untrusted_archives._Bounded, "read", fail)
        with pytest.raises(FacemaskError, match=r"cannot be read \(Input/output error\): check its disk"):
            members[0].read()


def test_too_little_memory_is_an_error_and_no_empty_member(put, monkeypatch):
    def fail(*_):
        raise MemoryError

    with open_archive(put("x.zip", zipped(FILES.items()))) as members:
        monkeypatch.setattr(zipfile.ZipFile, "open", fail)
        with pytest.raises(MemoryError):
            members[0].read()


def test_a_sparse_tar_member_is_empty(put, capsys):
    info = tarfile.TarInfo("a.bmp")
    info.pax_headers = {"GNU.sparse.map": "0,1,9,1", "GNU.sparse.size": "10"}
    path = put("x.tar", tarred([(info, b"ab"), ("ok.png", b"x")]))
    assert contents(path) == {"a.bmp": b"", "ok.png": b"x"}
    assert "a.bmp cannot be read: sparse members" in capsys.readouterr().out


def test_reading_a_member_of_a_closed_archive_is_a_programming_error(put):
    with open_archive(put("x.zip", zipped(FILES.items()))) as members:
        pass
    with pytest.raises(ValueError, match="is closed"):
        members[0].read()


def test_an_error_within_the_block_is_raised_as_it_was(put):
    with pytest.raises(KeyError), open_archive(put("x.zip", zipped(FILES.items()))):
        raise KeyError


# Archives that are refused


def refusal(path):
    with pytest.raises(FacemaskError) as caught, open_archive(path):
        pass
    text = str(caught.value)
    assert text.startswith(f"{path} ") and "\n" not in text
    return text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_refused(put, form, share):
    content = packed(form, FILES.items())
    if form == "x.tar":
        content = content[: 2 * tarfile.BLOCKSIZE + len(content.rstrip(b"\0"))]  # without the padding to 10 kB
    assert "is damaged or incomplete" in refusal(put(form, content[: int(len(content) * share)]))


def test_a_tar_truncated_between_two_members_is_refused(put):
    content = tarred(FILES.items())
    at = content.index(b"deep/c.png")
    assert "is damaged or incomplete" in refusal(put("x.tar", content[:at]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("content", [b"", b"no archive\n" * 999, NOISE])
def test_a_file_that_is_not_an_archive_is_refused(put, form, content):
    assert "replace it by a good copy" in refusal(put(form, content))


@pytest.mark.parametrize("form", FORMS)
def test_a_web_page_with_an_archives_name_is_called_a_web_page(put, form):
    assert "is a web page" in refusal(put(form, b"\n<!DOCTYPE HTML><html><title>Sign in</title></html>"))


def test_a_missing_archive_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "x.zip")


def test_a_zip_without_its_first_bytes_is_refused(put):
    assert "members are outside the file" in refusal(put("x.zip", zipped(FILES.items())[100:]))


@pytest.mark.parametrize("form", ["x.tar.gz", "x.tar.xz"])
def test_a_changed_bit_in_a_compressed_tar_is_refused(put, form):
    content = bytearray(packed(form, FILES.items()))
    content[len(content) // 2] ^= 4
    assert "is damaged" in refusal(put(form, bytes(content)))


@pytest.mark.parametrize("form", FORMS)
def test_an_archive_above_the_limit_of_members_is_refused(put, form, monkeypatch):
    monkeypatch.setattr(untrusted_archives, "MAX_MEMBERS", 3)
    assert "has more than 3 members" in refusal(put(form, packed(form, FILES.items())))


@pytest.mark.parametrize("form", FORMS)
def test_an_archive_above_the_limit_of_bytes_is_refused(put, form, monkeypatch):
    monkeypatch.setattr(untrusted_archives, "MAX_TOTAL_BYTES", 7600)
    assert "has more than 7,600 bytes" in refusal(put(form, packed(form, FILES.items())))


def test_a_compressed_tar_of_zeros_is_refused_before_it_is_decompressed(put, monkeypatch):
    monkeypatch.setattr(untrusted_archives, "MAX_MEMBER_BYTES", 1_000_000)
    assert "has more than" in refusal(put("x.tar.gz", packed("x.tar.gz", [("a", bytes(3_000_000))])))
    assert "has more than" in refusal(put("y.tar.gz", packed("x.tar.gz", []) + gzip.compress(bytes(3_000_000))))


def overlapping(content):
    """A zip whose second directory entry points to the first member's content, as the entries of a bomb do."""
    changed = bytearray(content)
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1)
    struct.pack_into("<I", changed, second + 42, 0)
    return bytes(changed)


def test_a_zip_whose_members_overlap_is_refused(put):
    assert "is a zip bomb" in refusal(put("x.zip", overlapping(zipped([("a", NOISE), ("b", NOISE)]))))


def test_a_zip_member_that_contains_the_next_header_is_refused(put):
    def enclose(content, entry):
        struct.pack_into("<I", content, entry + 20, 60)  # its compressed size reaches into the next member

    content = with_directory(zipped([("a", b"a"), ("b", NOISE)], zipfile.ZIP_STORED), enclose)
    assert "is a zip bomb" in refusal(put("x.zip", content))


def peak_while_refused(path):
    tracemalloc.start()
    refusal(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_a_tar_header_of_any_length_takes_little_memory(put):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 50_000_000
    path = put("x.tar.gz", gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(50_000_000), 1))
    assert peak_while_refused(path) < 5_000_000


def test_endless_tar_headers_take_little_memory(put):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 0
    assert peak_while_refused(put("x.tar", info.tobuf(tarfile.USTAR_FORMAT) * 20_000)) < 5_000_000


def test_a_zip_directory_of_any_length_takes_little_memory(put, monkeypatch):
    monkeypatch.setattr(untrusted_archives, "MAX_DIRECTORY_BYTES", 1_000_000)
    size = 50_000_000
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, size, 0, 0)
    assert peak_while_refused(put("x.zip", bytes(size) + end)) < 5_000_000


@pytest.mark.parametrize("size", [-1, -512, -1000])
def test_a_tar_member_of_negative_size_is_refused(put, size):
    header = bytearray(tarfile.TarInfo("a.png").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:]))
    refusal(put("x.tar", bytes(header) + bytes(10_240)))


@pytest.mark.parametrize("size", ["-1", "5000"])
def test_a_tar_whose_members_overlap_is_refused(put, size):
    head = tarfile.TarInfo.create_pax_global_header({"size": size})
    assert "overlaps the next one" in refusal(put("x.tar", head + tarred(FILES.items(), tarfile.GNU_FORMAT)))


# Large archives


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A zip with more members than the format allows without its 64-bit extension."""
    path = tmp_path_factory.mktemp("many") / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(70_000):
            info = zipfile.ZipInfo(f"{number // 1000:05d}/{number:05d}.png")
            archive.writestr(info, b"%d" % number)
    return path


def test_seventy_thousand_members_are_read(many):
    with open_archive(many) as members:
        assert len(members) == 70_000
        assert members[-1].read() == b"69999"


def test_members_beyond_four_gigabytes_are_read(tmp_path):
    path = tmp_path / "x.zip"
    with path.open("wb") as file:
        file.seek(5 << 30)  # a hole: takes no disk
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
    assert contents(path) == FILES


def test_sizes_of_the_64_bit_extension_are_read(put, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(zipfile, "ZIP64_LIMIT", 1000)
        content = zipped(FILES.items())
    assert b"PK\x06\x06" in content and contents(put("x.zip", content)) == FILES


def test_a_zip_with_data_descriptors_as_cloud_drives_write_is_read(put):
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation

        tell = seek

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    assert b"PK\x07\x08" in pipe.getvalue()  # sizes come after the content
    assert contents(put("x.zip", pipe.getvalue())) == FILES


class Counting(io.FileIO):
    """A file that counts the bytes that are read."""

    given = 0

    def readinto(self, buffer):
        count = super().readinto(buffer)
        self.given += count
        return count

    def read(self, size=-1):
        content = super().read(size)
        self.given += len(content)
        return content


@pytest.mark.parametrize("form", FORMS)
def test_reading_members_in_order_costs_two_passes_over_the_file(put, form, monkeypatch):
    noise = random.Random(1)
    path = put(form, packed(form, [(f"{number}.png", noise.randbytes(20_000)) for number in range(50)]))
    file = Counting(path)
    monkeypatch.setattr(Path, "open", lambda *_, **__: file)
    with open_archive(path) as members:
        for member in members:
            assert len(member.read()) == 20_000
    assert file.given < 2.5 * path.stat().st_size


# Random archives


def mutated(content, rng):
    """Truncated, or with flipped bits, in half of the cases near the end, where a zip has its directory."""
    if rng.random() < 0.3:
        return content[: rng.randrange(len(content))]
    flipped = bytearray(content)
    first = rng.choice([0, len(content) * 4 // 5])
    for _ in range(rng.randint(1, 5)):
        flipped[rng.randrange(first, len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_archive_gives_correct_members_or_an_error(put, form, capsys):
    whole = packed(form, FILES.items())
    rng = random.Random(form)
    for _ in range(150):
        path = put(form, mutated(whole, rng))
        with contextlib.suppress(FacemaskError), open_archive(path) as members:
            for member in members:
                content = member.read()
                reported = f"{member.path} cannot be read" in capsys.readouterr().out
                # An uncompressed tar has no checksum of its members.
                assert form == "x.tar" or content in FILES.values() or (content == b"" and reported)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text("a./\\:C\n\u0085ä_ \u202e", min_size=1, max_size=8), max_size=6))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_paths_are_unique_visible_and_within_the_folder(put, names):
    for form in ("x.zip", "x.tar"):
        paths = list(contents(put(form, packed(form, [(name, b"x") for name in names]))))
        for path in paths:
            parts = path.split("/")
            assert not set(path) & set("\\\n\u0085")
            assert not any(part == "" or part.startswith(".") for part in parts)
        assert len(set(paths)) == len(paths)
