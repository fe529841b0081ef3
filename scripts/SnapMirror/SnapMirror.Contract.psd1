# What this module reads of snapmirror: its exit codes, and the fields of its JSON, each under the name of a property.
# Nothing else in the module knows them. tests/unit/test_powershell.py holds them against the Python side.
#
# A field that ends in _at or _since becomes a DateTime, one that ends in _seconds a TimeSpan.
@{
    ExitCode = @{
        '0'   = 'DONE'
        '1'   = 'BUG'
        '2'   = 'USAGE'
        '3'   = 'WARNINGS'
        '10'  = 'LOCKED'
        '11'  = 'STORAGE'
        '12'  = 'TRANSFER'
        '13'  = 'GUARD'
        '14'  = 'DAMAGE'
        '20'  = 'STUCK'
        '130' = 'INTERRUPTED'
        '143' = 'TERMINATED'
    }

    # What a command may end with and still have done its work.
    Success  = @('DONE', 'WARNINGS')

    # Which command prints which type, and the fields of it, or of what is in it, that hold lists of other types.
    Command  = @{
        'status'     = @{ Type = 'SnapMirror.Status'; Inner = @{ mirrors = 'SnapMirror.MirrorStatus' } }
        'list'       = @{ Type = 'SnapMirror.Snapshot'; Inner = @{} }
        'run'        = @{ Type = 'SnapMirror.Run'; Inner = @{ mirrors = 'SnapMirror.MirrorRun' } }
        'restore'    = @{ Type = 'SnapMirror.Restore'; Inner = @{} }
        'copy-image' = @{ Type = 'SnapMirror.Copy'; Inner = @{} }
        'doctor'     = @{ Type = 'SnapMirror.Doctor'; Inner = @{ checks = 'SnapMirror.Check' } }
        'verify'     = @{ Type = 'SnapMirror.Verify'; Inner = @{ mirrors = 'SnapMirror.Verification'; findings = 'SnapMirror.Finding' } }
        'ls'         = @{ Type = 'SnapMirror.Entry'; Inner = @{} }
        'mount'      = @{ Type = 'SnapMirror.Mount'; Inner = @{} }
    }

    Type     = @{
        'SnapMirror.Status'       = @{
            ExitCode       = 'exit_code'
            Findings       = 'findings'
            RunningSince   = 'running_since'
            SpaceSeen      = 'space_at'
            StoreFreeBytes = 'store_free_bytes'
            ImageBytes     = 'image_bytes'
            DiskFreeBytes  = 'disk_free_bytes'
            Mirrors        = 'mirrors'
        }
        'SnapMirror.MirrorStatus' = @{
            Mirror            = 'mirror'
            LastSuccess       = 'last_success_at'
            LastSuccessAge    = 'last_success_age_seconds'
            LastRun           = 'last_run_at'
            Result            = 'result'
            ExitCode          = 'exit_code'
            Snapshot          = 'snapshot'
            Warnings          = 'warnings'
            Problem           = 'error'
            Hint              = 'hint'
            DamagedFiles      = 'damaged_files'
            ReadBackShare     = 'read_back_share'
            ReadBackCompleted = 'read_back_completed_at'
            ReadBackBehind    = 'read_back_behind_seconds'
        }
        'SnapMirror.Snapshot'     = @{
            Mirror   = 'mirror'
            Id       = 'id'
            Slot     = 'slot'
            Taken    = 'taken_at'
            Path     = 'path'
            Files    = 'files'
            Bytes    = 'bytes'
            NewBytes = 'new_bytes'
            Pinned   = 'pinned'
            Degraded = 'degraded'
            Warnings = 'warnings'
        }
        'SnapMirror.Run'          = @{
            ExitCode = 'exit_code'
            Mirrors  = 'mirrors'
        }
        'SnapMirror.MirrorRun'    = @{
            Mirror           = 'mirror'
            Result           = 'result'
            Snapshot         = 'snapshot'
            Added            = 'added'
            Updated          = 'updated'
            Attributes       = 'attributes'
            Deleted          = 'deleted'
            BytesTransferred = 'bytes_transferred'
            Duration         = 'seconds'
            ExitCode         = 'exit_code'
            Warnings         = 'warnings'
            Problem          = 'error'
            Hint             = 'hint'
        }
        'SnapMirror.Restore'      = @{
            Mirror      = 'mirror'
            Snapshot    = 'snapshot'
            Destination = 'to'
            New         = 'new'
            Overwritten = 'overwritten'
            Attributes  = 'attributes'
            Bytes       = 'bytes'
            Restored    = 'restored'
        }
        'SnapMirror.Copy'         = @{
            ExitCode       = 'exit_code'
            Copy           = 'copy'
            Result         = 'result'
            ChangedBytes   = 'changed_bytes'
            WrittenBytes   = 'written_bytes'
            VerifiedBytes  = 'verified_bytes'
            AllocatedBytes = 'allocated_bytes'
            Duration       = 'seconds'
            Warnings       = 'warnings'
        }
        'SnapMirror.Doctor'       = @{
            ExitCode = 'exit_code'
            Checks   = 'checks'
        }
        'SnapMirror.Check'        = @{
            Level   = 'level'
            Topic   = 'topic'
            Message = 'message'
            Mend    = 'mend'
        }
        'SnapMirror.Verify'       = @{
            ExitCode = 'exit_code'
            Mirrors  = 'mirrors'
        }
        'SnapMirror.Verification' = @{
            Mirror    = 'mirror'
            Snapshots = 'snapshots'
            Names     = 'names'
            FilesRead = 'files_read'
            BytesRead = 'bytes_read'
            Findings  = 'findings'
            LeftOut   = 'findings_left_out'
            Unchecked = 'unchecked'
        }
        'SnapMirror.Finding'      = @{
            Kind      = 'kind'
            Path      = 'path'
            Detail    = 'detail'
            Snapshots = 'snapshots'
            Healed    = 'healed'
            NotHealed = 'not_healed'
        }
        'SnapMirror.Entry'        = @{
            Path     = 'path'
            Type     = 'type'
            Bytes    = 'bytes'
            Modified = 'modified_at'
        }
        'SnapMirror.Mount'        = @{
            Path    = 'path'
            Mounted = 'mounted'
        }
    }
}
