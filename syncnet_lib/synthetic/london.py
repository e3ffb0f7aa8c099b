"""The Face Research Lab London Set: 102 adults, neutral and smiling, downloaded from figshare [DeBruine17]."""

import json
import shutil
import zipfile
from pathlib import Path

from syncnet_lib import download
from syncnet_lib.errors import InputError
from syncnet_lib.files import atomic

ARTICLE = "https://api.figshare.com/v2/articles/5047666"
"""What figshare's public API says of the set: its files with their sizes, checksums and addresses."""

PAGE = "https://doi.org/10.6084/m9.figshare.5047666"

ARCHIVES = {"neutral": "neutral_front.zip", "smiling": "smiling_front.zip"}
"""The frontal pictures by expression, as `gallery.find` names folders; 001_03.jpg and 001_08.jpg are person 001."""

ATTRIBUTION = f"""Face Research Lab London Set
Lisa DeBruine, Benedict Jones (2017), figshare, {PAGE}
Licence: CC BY 4.0, https://creativecommons.org/licenses/by/4.0/
The people gave signed consent for their pictures to be used in research in original or altered form.
Changes: here only the files' names. Videos made from them show the pictures cut, scaled and animated.
"""


def fetch(folder: Path, article: str = ARTICLE, progress: bool = True) -> Path:
    """Download the portraits once.

    Archives that lie in the folder already, put there by hand or by an earlier run, are not asked for.

    Args:
        folder: gets the archives, the pictures as neutral/NNN.jpg and smiling/NNN.jpg, and ATTRIBUTION.txt.
        article: address of the description of the set.
        progress: show bars.

    Returns:
        The folder.

    Raises:
        InputError: an archive cannot be downloaded or is damaged; the cure tells how to get it by hand.
    """
    missing = [name for name in ARCHIVES.values() if not (folder / name).exists()]
    missing = [] if all((folder / expression).is_dir() for expression in ARCHIVES) else missing
    if missing:
        try:
            _download(missing, folder, article, progress)
        except InputError as error:
            by_hand = f"{error.cure}; or take {' and '.join(missing)} from {PAGE} and put them into {folder}"
            raise InputError(error.where, error.cause, by_hand) from None
    for expression, name in ARCHIVES.items():
        if not (folder / expression).is_dir():
            _unpack(folder / name, folder / expression)
    with atomic(folder / "ATTRIBUTION.txt") as temporary:
        temporary.write_text(ATTRIBUTION, encoding="utf-8")
    return folder


def _download(names: list[str], folder: Path, article: str, progress: bool) -> None:
    described = folder / "article.json"
    download.fetch(article, described, progress=False)
    try:
        answer = json.loads(described.read_bytes())
        files = {file["name"]: (file["download_url"], file["computed_md5"], file["size"]) for file in answer["files"]}
        wanted = {name: files[name] for name in names}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(article, f"does not describe the set as expected ({error!r})", "try again later") from None
    for name, (url, md5, size) in wanted.items():
        download.fetch(url, folder / name, md5, size, progress)


def _unpack(archive: Path, folder: Path) -> None:
    """The pictures of an archive by the number of the person; what else is in it is left there."""
    try:
        with zipfile.ZipFile(archive) as packed, atomic(folder) as temporary:
            temporary.mkdir()
            for member in packed.infolist():
                path = Path(member.filename)  # only its name counts: an archive must not choose where its files go
                if path.suffix.lower() == ".jpg" and not path.name.startswith("."):
                    name = f"{path.stem.partition('_')[0]}.jpg"
                    with packed.open(member) as source, (temporary / name).open("wb") as target:
                        shutil.copyfileobj(source, target)
            if not any(temporary.iterdir()):
                raise zipfile.BadZipFile("no picture is in it")
    except zipfile.BadZipFile as error:
        raise InputError(archive, f"damaged archive ({error})", "delete it and run the stage again") from None
