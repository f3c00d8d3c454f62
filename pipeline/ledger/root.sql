-- The ledger's root recomputed from the lake's Parquet files by DuckDB alone: none of keytrail's code takes part.
--
--   duckdb -c "set variable raw = 'lake/data/raw/*.parquet'; set variable ctl = 'lake/ledger/ctl.jsonl'" \
--          -c ".read pipeline/ledger/root.sql"
--
-- Leaves are the `leaf` column of the raw rows, plus the control leaves that ctl.jsonl holds in hexadecimal. Compare
-- `size` and `root_base64` with the second and third line of lake/ledger/checkpoint. A file that was merged into another
-- stays for an hour: the same leaf at the same place counts once. Rows that expired have no leaf here any more; the
-- tiles have.
--
-- RFC 6962: a leaf's hash is SHA-256(00 || leaf), a node's SHA-256(01 || left || right). Level by level, hashes 2i and
-- 2i+1 become hash i of the next; an odd last one is carried up as it is. `size` must be `last_index` + 1: no hole.

with recursive
leaves as (
    select leaf_index, leaf from read_parquet(getvariable('raw'))
    union
    select leaf_index, unhex(leaf) as leaf
    from read_json(getvariable('ctl'), format = 'newline_delimited',
                   columns = {leaf_index: 'bigint', leaf: 'varchar'})
),
level (height, i, hash, width) as (
    select 0, leaf_index, unhex(sha256(from_hex('00') || leaf)), count(*) over () from leaves
    union all
    select height + 1,
           i // 2,
           case when count(*) = 2
                then unhex(sha256(from_hex('01') || arg_min(hash, i) || arg_max(hash, i)))
                else any_value(hash) end,
           (any_value(width) + 1) // 2
    from level
    where width > 1
    group by height, i // 2
)
select (select count(*) from leaves) as size,
       (select max(leaf_index) from leaves) as last_index,
       hex(hash) as root_hex,
       base64(hash) as root_base64
from level
where width = 1;
