"""Miniatures of the video data sets: text-video retrieval, and Kinetics."""

import json
from pathlib import Path

from tests.miniatures.base import Expected, ExpectedItem, video

_MSRVTT = {"video2960": "train", "video6601": "validate", "video7183": "test", "video9046": "test", "video8405": "test"}
_SILENT = "video9046"


def msrvtt_1ka(folder: Path) -> Expected:
    """MSR-VTT with the captions of the 1k-A split.

    Format: MSRVTT_JSFUSION_test.csv as minhhieu121/AIC_benchmark has it, there with semicolons; with commas its header
    and a row are cited by others who read it. MSRVTT_train.9k.csv as CLIP4Clip reads it (dataloaders/
    dataloader_msrvtt_retrieval.py); folders as open-mmlab/mmaction2 unpacks both archives (tools/data/video_retrieval/
    prepare_msrvtt.sh).
    """
    _put_msrvtt(folder)
    captions = {
        "video9046": "a kettle is put on a stove while someone s radio plays",
        "video7183": "two men repair a bicycle in a yard",
        "video8405": "a red boat",
    }
    rows = [
        f"ret{number},msr{name.removeprefix('video')},{name},{text}\n"
        for number, (name, text) in enumerate(captions.items())
    ]
    _put(folder / "msrvtt_data/MSRVTT_JSFUSION_test.csv", "key,vid_key,video_id,sentence\n" + "".join(rows))
    return {
        name: ExpectedItem(("video",) if name == _SILENT else ("video", "audio"), captions=(text,))
        for name, text in captions.items()
    }


def msrvtt_full(folder: Path) -> Expected:
    """The same files; three videos are of the official test split, with one to three captions.

    Format: MSRVTT_data.json, which joins the official train_val_videodatainfo.json and test_videodatainfo.json: keys
    and types as the read-me of MSR-VTT 10K describes them.
    """
    captions = _put_msrvtt(folder)
    return {
        name: ExpectedItem(("video",), captions=tuple(captions[name]))
        for name, split in _MSRVTT.items()
        if split == "test"
    }


def msvd(folder: Path) -> Expected:
    """MSVD: captions of all videos, and the list of a split.

    Format: AllVideoDescriptions.txt begins with seven lines that are comments or blank, and has an id and a caption on
    each further line, as repositories that read it show (MRSA-J/Youtube-Teller, README.md; mindvideo's msvd.py); list
    files of one id a line, as CLIP4Clip reads them (dataloaders/dataloader_msvd_retrieval.py).
    """
    descriptions = [
        ("-wXq3RtY_8k_12_20", "a man is pouring tea"),
        ("-wXq3RtY_8k_12_20", "Someone pours tea, slowly. "),
        ("Zt4mNb7Lq0c_5_9", "a horse runs"),
        ("_9fG2hJk-Lw_101_115", "The girl's kite won't fly!"),
        ("-wXq3RtY_8k_12_20", "a man is  pouring tea"),
        ("_9fG2hJk-Lw_101_115", "a girl with a kite #2"),
        ("b0VcXz8sDfg_0_10", "a man is pouring tea"),
    ]
    head = "# Descriptions of videos\n#\n# Language: English\n\n# <video> <description>\n#\n\n"
    _put(folder / "AllVideoDescriptions.txt", head + "".join(f"{name} {text}\n" for name, text in descriptions))
    tested = ["_9fG2hJk-Lw_101_115", "-wXq3RtY_8k_12_20", "b0VcXz8sDfg_0_10"]
    _put(folder / "msvd_data/test_list.txt", "\n".join(tested))
    _put(folder / "msvd_data/train_list.txt", "Zt4mNb7Lq0c_5_9\n")
    _put(folder / "msvd_data/raw-captions.pkl", "not read")
    for number, name in enumerate(dict.fromkeys(name for name, _ in descriptions)):
        _put(folder / "YouTubeClips" / f"{name}.avi", video(number, "avi"))
    return {
        name: ExpectedItem(
            ("video",), captions=tuple(" ".join(text.split()) for other, text in descriptions if other == name)
        )
        for name in tested
    }


def didemo(folder: Path) -> Expected:
    """DiDeMo: descriptions of moments, the videos that retrieval takes, and files of both sources.

    Format: test_data.json as data/README.md of LisaAnne/LocalizingMoments describes it, with the keys of an entry that
    public notes on video grounding cite; file names by download/download_videos_AWS.py there (the name and .mp4) and
    download/download_videos.py (the name); test_list.txt as CLIP4Clip reads it.
    """
    descriptions = [
        ("48213907@N07_3319842650_7bd0e1a92c.m4v", "the dog jumps, then leaves."),
        ("90511264@N00_6120093487_1c5f20b77e.avi", "a man waves"),
        ("61730582@N02_8840127365_e09ab3c4d1.mov", "First time we see a ball"),
        ("48213907@N07_3319842650_7bd0e1a92c.m4v", "  camera turns to a tree"),
        ("12098345@N05_2217645098_3f8e6d5c1b.3gp", "a train passes"),
        ("61730582@N02_8840127365_e09ab3c4d1.mov", 'a child says "no" '),
        ("90511264@N00_6120093487_1c5f20b77e.avi", "he sits down"),
        ("90511264@N00_6120093487_1c5f20b77e.avi", "a man waves"),
    ]
    entries = [
        {
            "num_segments": 6 - number % 2,
            "description": text,
            "dl_link": f"https://www.flickr.com/video_download.gne?id={name.split('_')[1]}",
            "times": [[number % 5, number % 5], [0, 1], [number % 5, 4]],
            "video": name,
            "annotation_id": 21000 + 7 * number,
        }
        for number, (name, text) in enumerate(descriptions)
    ]
    _put(folder / "test_data.json", json.dumps(entries))
    _put(folder / "train_data.json", json.dumps([{**entries[4], "annotation_id": 3}]))
    files = {
        "61730582@N02_8840127365_e09ab3c4d1.mov": (".mp4", "mp4"),
        "90511264@N00_6120093487_1c5f20b77e.avi": ("", "avi"),
        "48213907@N07_3319842650_7bd0e1a92c.m4v": ("", "mp4"),
    }
    _put(folder / "test_list.txt", "".join(f"{name}\n" for name in files))
    for number, (name, (suffix, container)) in enumerate(files.items()):
        _put(folder / "videos" / (name + suffix), video(number, container))
    _put(folder / "videos/12098345@N05_2217645098_3f8e6d5c1b.3gp.mp4", video(9))
    return {
        "61730582@N02_8840127365_e09ab3c4d1.mov": ExpectedItem(
            ("video",), captions=('First time we see a ball a child says "no"',)
        ),
        "90511264@N00_6120093487_1c5f20b77e.avi": ExpectedItem(
            ("video",), captions=("a man waves he sits down a man waves",)
        ),
        "48213907@N07_3319842650_7bd0e1a92c.m4v": ExpectedItem(
            ("video",), captions=("the dog jumps, then leaves. camera turns to a tree",)
        ),
    }


def activitynet(folder: Path) -> Expected:
    """ActivityNet Captions: sentences by video, and videos of several types in several folders.

    Format: val_1.json as CLIP4Clip reads it (dataloaders/dataloader_activitynet_retrieval.py: an object by video of
    duration, timestamps and sentences, which often begin with a blank); ids as albanie/collaborative-experts lists
    them (misc/datasets/activity-net/val_1_list.txt); file names with v_ as LanguageBind's loader takes them.
    """
    sentences = {
        "v_Q7kT2mWx9bE": ["A woman is seen standing by a pool.", " She jumps in and swims.", " The end is shown."],
        "v__3hRz-Lp5Vo": ["Two boys play \u201cchess\u201d.\n"],
        "v_-Nc8YdF0sGa": [" A man, in blue, mows a lawn. ", "He stops."],
        "v_jU6eXb1PqOi": ["A cat sleeps."],
    }
    entries = {
        name: {
            "duration": 30.5 + 10 * number,
            "timestamps": [[4.25 * place, 4.25 * place + 9] for place in range(len(texts))],
            "sentences": texts,
        }
        for number, (name, texts) in enumerate(sentences.items())
    }
    _put(folder / "val_1.json", json.dumps(entries))
    others = {"duration": 30.5, "timestamps": [[0, 30.5]], "sentences": ["Other words about it."]}
    _put(folder / "val_2.json", json.dumps({"v_Q7kT2mWx9bE": others}))
    _put(folder / "train.json", json.dumps({"v_Lm4KsA9zHtw": others}))
    files = {
        "v1-2/val/v_Q7kT2mWx9bE.mp4": "mp4",
        "v1-3/train_val/v__3hRz-Lp5Vo.mkv": "matroska",
        "v1-3/train_val/v_-Nc8YdF0sGa.webm": "webm",
        "v1-3/train_val/v_Lm4KsA9zHtw.mp4": "mp4",
        "videos/v_jU6eXb1PqOi.mp4": "mp4",
    }
    for number, (name, container) in enumerate(files.items()):
        _put(folder / name, video(number, container))
    paragraphs = (
        "A woman is seen standing by a pool. She jumps in and swims. The end is shown.",
        "Two boys play \u201cchess\u201d.",
        "A man, in blue, mows a lawn. He stops.",
        "A cat sleeps.",
    )
    return {name: ExpectedItem(("video",), captions=(text,)) for name, text in zip(sentences, paragraphs, strict=True)}


def kinetics400(folder: Path) -> Expected:
    """Kinetics-400: a csv file for each split, with labels in quotes where they have blanks.

    Format: annotations/val.csv of cvdfoundation/kinetics-dataset, header and rows as others who
    read it cite them; clips flat as k400_extractor.sh unpacks them, and by class as arrange_by_classes.py links them.
    """
    rows = [
        ("abseiling", "-Tq7RmW2xKc", 59, 69, "val/-Tq7RmW2xKc_000059_000069.mp4"),
        ('"air drumming"', "_bN4zPd8yLs", 1140, 1150, "val/_bN4zPd8yLs_001140_001150.mp4"),
        ('"massaging person\'s head"', "Gh3kVf6jXoU", 0, 10, "videos/val/massaging person's head/{clip}"),
        ('"petting animal (not cat)"', "w0E5aSi9uRQ", 7, 17, "val/petting animal (not cat)/{clip}"),
        ("abseiling", "Yc1lDt4eMnB", 302, 312, "val/abseiling/{clip}"),
    ]
    head = "label,youtube_id,time_start,time_end,split,is_cc\n"
    lines = "".join(f"{label},{name},{start},{end},val,0\n" for label, name, start, end, _ in rows)
    _put(folder / "annotations/val.csv", head + lines)
    _put(folder / "annotations/train.csv", head + "zumba,Pj2oXs7vKwI,3,13,train,1\n")
    _put(folder / "annotations/test.csv", head.removeprefix("label,") + "Lr8uHb5cZyN,20,30,test,0\n")
    _put(folder / "train/Pj2oXs7vKwI_000003_000013.mp4", video(90))
    return _put_clips(folder, rows)


def kinetics600(folder: Path) -> Expected:
    """Kinetics-600: the list of its validation split, without is_cc and without quotes.

    Format: Crawler/Kinetics/data/kinetics-600_val.csv of activitynet/ActivityNet; clips flat as k600_extractor.sh of
    cvdfoundation/kinetics-dataset unpacks most classes, one class in a folder with files of a Mac beside the clips
    (issue 5 there).
    """
    rows = [
        ("acting in play", "_kD7wQm3xTb", 143, 153, "val/_kD7wQm3xTb_000143_000153.mp4"),
        ("acting in play", "R8sLn-AuY5c", 1539, 1549, "val/R8sLn-AuY5c_001539_001549.mp4"),
        ("mountain climber (exercise)", "4PfGhJ9vEwQ", 0, 10, "val/mountain climber (exercise)/{clip}"),
        ("passing American football (in game)", "-oBa4RtNz6M", 4, 14, "val/-oBa4RtNz6M_000004_000014.mp4"),
        ("passing american football (not in game)", "bXk8SdLhCyE", 36, 46, "val/bXk8SdLhCyE_000036_000046.mp4"),
    ]
    head = "label,youtube_id,time_start,time_end,split\n"
    lines = "".join(f"{label},{name},{start},{end},val\n" for label, name, start, end, _ in rows)
    _put(folder / "annotations/kinetics-600_val.csv", head + lines)
    _put(folder / "annotations/val.csv", head + "acting in play,_kD7wQm3xTb,143,153,validate\n")
    _put(folder / "val/mountain climber (exercise)/._4PfGhJ9vEwQ_000000_000010.mp4", b"\x00\x05\x16\x07")
    _put(folder / "val/Jw6iOn1pQtZ_000010_000020.mp4", video(90))
    return _put_clips(folder, rows)


def _put_msrvtt(folder: Path) -> dict[str, list[str]]:
    """All files of MSR-VTT but the 1k-A split. Returns: the captions of each video."""
    captions = {
        "video7183": ["two men repair a bicycle in a yard", "a bike is being fixed", "men   are talking"],
        "video2960": ["a girl sings"],
        "video9046": ["a kettle is put on a stove while someone s radio plays"],
        "video8405": ["a red boat", "caf\u00e9 by a river with boats"],
        "video6601": ["a red boat"],
    }
    info = {
        "contributor": "nobody",
        "data_created": "2016-04-14 14:30:20",
        "version": "1.0",
        "description": "A miniature.",
        "year": "2016",
    }
    videos = [
        {
            "category": 3 * number,
            "url": f"https://www.youtube.com/watch?v=Aa{number}Bb-Cc_Dd",
            "video_id": name,
            "start time": 137.72 + number,
            "end time": 149.44 + number,
            "split": split,
            "id": int(name.removeprefix("video")),
        }
        for number, (name, split) in enumerate(_MSRVTT.items())
    ]
    rounds = range(max(len(texts) for texts in captions.values()))
    turns = [(name, texts[turn]) for turn in rounds for name, texts in captions.items() if turn < len(texts)]
    sentences = [
        {"caption": text, "video_id": name, "sen_id": 140_000 + number} for number, (name, text) in enumerate(turns)
    ]
    _put(
        folder / "msrvtt_data/MSRVTT_data.json",
        json.dumps({"info": info, "videos": videos, "sentences": sentences}),
    )
    _put(folder / "msrvtt_data/MSRVTT_train.9k.csv", "video_id\nvideo2960\nvideo6601\n")
    for number, name in enumerate(_MSRVTT):
        _put(folder / "MSRVTT/videos/all" / f"{name}.mp4", video(number, with_sound=name != _SILENT))
    return {name: [" ".join(text.split()) for text in texts] for name, texts in captions.items()}


def _put_clips(folder: Path, rows: list[tuple[str, str, int, int, str]]) -> Expected:
    """The clips of label, id, start, end and place."""
    expected = {}
    for number, (label, name, start, end, place) in enumerate(rows):
        key = f"{name}_{start:06}_{end:06}"
        _put(folder / place.format(clip=f"{key}.mp4"), video(number))
        expected[key] = ExpectedItem(("video",), classes=(label.strip('"'),))
    return expected


def _put(file: Path, data: bytes | str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
