"""Mutants of the disk: syncs, seals, damaged rows, lost databases, bundles."""

from __future__ import annotations

from mutants.mutant import mutant

QUEUE = "appliance/studies/queue.py"
SPOOL = "appliance/studies/spool"

DISK = (
    mutant(
        "an image that is read is the one that was posted",
        "appliance/studies/exam.py",
        "    if count != size or hashlib.sha256(data).hexdigest() != file.sha256:",
        "    if False:",
        "test_a_posted_file_that_changed_on_the_disk_is_never_read_and_can_be_posted_again",
    ),
    mutant(
        "a result is sealed with its study and verdict",
        f"{SPOOL}/records.py",
        '    return row["seal"] == sealed and (',
        "    return (",
        "test_a_row_and_its_result_are_answered_together_as_they_were_written_or_not_at_all",
    ),
    mutant(
        "what the disk refuses is stored later",
        QUEUE,
        "            except StorageError as error:\n"
        "                await self._stand_still(error)\n"
        "            else:",
        "            except StorageError:\n                raise\n            else:",
        "test_a_study_is_read_though_the_disk_refuses_it_for_a_while",
        "test_a_study_whose_reader_is_lost_ends_though_the_disk_refuses_it_for_a_while",
    ),
    mutant(
        "files that the database does not know are kept",
        f"{SPOOL}/spool.py",
        '                files.move(path, self._folder / "unclaimed" / path.name)',
        "                files.remove(path)",
        "test_a_lost_database_costs_no_posted_file",
        "test_an_older_database_costs_no_posted_file",
    ),
    mutant(
        "a row that cannot be read ends as failed",
        QUEUE,
        "        if study is not None and study.damaged:",
        "        if False:",
        "test_a_study_whose_row_cannot_be_read_ends_as_failed_and_the_next_one_is_read",
    ),
    mutant(
        "a row that cannot be read stops nothing else",
        f"{SPOOL}/records.py",
        "            return _remains(row)",
        "            raise",
        "test_a_row_that_cannot_be_read_stands_in_nobody_s_way",
    ),
    mutant(
        "a posted file is synced",
        f"{SPOOL}/spool.py",
        "                sync(upload.path)\n",
        "",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
    ),
    mutant(
        "a posted file's folder is synced before its row is written",
        f"{SPOOL}/spool.py",
        "            sync(self.incoming)\n",
        "",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
        "test_files_are_synced_before_the_row_is_written",
    ),
    mutant(
        "the folder of a moved file is synced",
        f"{SPOOL}/files.py",
        "    source.replace(target)\n    sync(target.parent)\n",
        "    source.replace(target)\n",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
    ),
    mutant(
        "the folder of a new folder is synced",
        f"{SPOOL}/files.py",
        "        sync(folder.parent)\n",
        "",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
    ),
    mutant(
        "the folder of a deleted file is synced",
        f"{SPOOL}/files.py",
        "        path.unlink()\n        sync(path.parent)\n",
        "        path.unlink()\n",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
    ),
    mutant(
        "what a killed process left unsynced in uploads is synced at the start",
        f"{SPOOL}/spool.py",
        "                sync(folder)  # whoever was killed here may not have come to it\n",
        "",
        "test_what_a_killed_process_left_unsynced_costs_the_next_one_no_study",
    ),
    mutant(
        "what a killed process left unsynced of the spool itself is synced at the start",
        f"{SPOOL}/spool.py",
        "            for folder in (self._folder, self._folder.parent):\n"
        "                sync(folder)\n",
        "",
        "test_what_a_killed_process_left_unsynced_costs_the_next_one_no_study",
    ),
    mutant(
        "every commit is synced",
        f"{SPOOL}/schema.py",
        '"PRAGMA synchronous = FULL"',
        '"PRAGMA synchronous = NORMAL"',
        "test_the_database_syncs_every_commit",
    ),
    mutant(
        "a pinned bundle is opened and no other",
        "engines/bundle.py",
        "    if sha256 is not None and bundle.sha256 != sha256:",
        "    if False:",
        "test_a_pinned_bundle_is_opened_and_no_other",
    ),
    mutant(
        "the hash of a bundle covers its files",
        "engines/bundle.py",
        "    if hashlib.sha256(data).hexdigest() != file.sha256:",
        "    if False:",
        "test_the_hash_of_a_bundle_covers_its_manifest_and_every_file",
    ),
    mutant(
        "pictures are drawn by the model that read the study",
        QUEUE,
        "                raise StudyNotRead(_REPLACED)",
        "                pass",
        "test_pictures_are_drawn_by_the_model_that_read_them_and_by_no_other",
    ),
    mutant(
        "pictures are those of the very result",
        f"{SPOOL}/spool.py",
        'f"{number}-{result[:16]}"',
        'f"{number}-"',
        "test_pictures_are_never_those_of_another_study_that_had_its_number",
    ),
    mutant(
        "a list of studies that is put back has its files again",
        f"{SPOOL}/spool.py",
        "            if path.name in hashes:  # the right list of studies was put back",
        "            if False:",
        "test_a_list_of_studies_that_is_put_back_has_its_files_again",
    ),
    mutant(
        "no study is taken into a list that was taken away",
        f"{SPOOL}/spool.py",
        '            if _identity(self._folder / "studies.db") != self._list_file:',
        "            if False:",
        "test_no_study_is_taken_into_a_list_that_was_taken_away_from_the_service",
    ),
    mutant(
        "a disk without inodes is full",
        f"{SPOOL}/files.py",
        "    if state.f_files and state.f_favail < LEAST_FILES:",
        "    if False:",
        "test_without_inodes_the_disk_is_full_and_room_is_made",
    ),
    mutant(
        "nothing is removed behind a link in the spool",
        f"{SPOOL}/spool.py",
        "                if (self._folder / name).is_symlink():",
        "                if False:",
        "test_a_folder_of_the_spool_that_is_a_link_is_refused_and_nothing_behind_it_removed",
    ),
    mutant(
        "a list of studies without its tables is left alone",
        f"{SPOOL}/files.py",
        '    *("no such table", "no such column", "duplicate column", "already exists"),\n',
        "",
        "test_a_database_that_says_a_version_whose_tables_it_has_not_is_damaged_and_left_alone",
    ),
    mutant(
        "a file that resists its deletion is said",
        f"{SPOOL}/spool.py",
        "            except OSError as error:\n                resisting = error\n        if gone:",
        "            except OSError:\n                pass\n        if gone:",
        "test_a_file_that_resists_is_said_and_removed_as_soon_as_it_can_be",
    ),
    mutant(
        "nothing of a deleted study is left in the database's file",
        f"{SPOOL}/schema.py",
        '    connection.execute("PRAGMA secure_delete = ON")\n',
        '    connection.execute("PRAGMA secure_delete = OFF")\n',
        "test_a_deleted_study_leaves_no_bytes",
    ),
)
