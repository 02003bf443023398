//! Files that are read page by page and whose pages stay in memory after they are closed ([`file_pages`]).
//!
//! A file is a number and a reader, which makes the content of a page: the same content whenever it is asked. So a page may
//! be evicted at any time when no file has it open, and is read again when it is wanted.

use alloc::vec::Vec;
use core::fmt;

use super::evict_cache;
use crate::mm::file_pages::{self, FilePage, NewPage, NotInserted, PageWords};
use crate::sched::mutex::Mutex;

/// Excludes threads that open the first file at once.
static FIRST_OPEN: Mutex<()> = Mutex::new(());

/// Why a file was not opened, or a page not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileError {
    /// No memory for the table of a file's pages, or of all pages.
    NoTable,
    /// No memory for a page.
    NoPage,
    /// As many pages are in use as can be cached.
    CacheFull,
    /// The page is beyond the end of the file.
    BeyondEnd {
        /// The index of the page.
        index: u32,
        /// The number of pages in the file.
        len_pages: u32,
    },
}

/// An open file. Pages that it has given out stay in memory until it is dropped.
#[derive(Debug)]
pub struct CachedFile {
    number: u32,
    pages: Vec<Option<FilePage>>,
}

impl CachedFile {
    /// Opens file `number` of `len_pages` pages. Several threads may open it at once.
    pub fn open(number: u32, len_pages: u32) -> Result<Self, FileError> {
        let is_set_up = {
            let _first = FIRST_OPEN.lock();
            file_pages::set_up()
        };
        is_set_up.map_err(|_| FileError::NoTable)?;
        let mut pages = Vec::new();
        pages.try_reserve_exact(len_pages as usize).map_err(|_| FileError::NoTable)?;
        pages.resize_with(len_pages as usize, || None);
        Ok(Self { number, pages })
    }

    /// Returns the page at `index`. If it is not in memory, `read` fills a page; no other thread sees it before.
    pub fn page(&mut self, index: u32, read: impl FnOnce(&mut PageWords)) -> Result<&PageWords, FileError> {
        let len_pages = self.pages.len() as u32;
        let slot = self.pages.get_mut(index as usize).ok_or(FileError::BeyondEnd { index, len_pages })?;
        let page = match slot.take().or_else(|| file_pages::find(self.number, index)) {
            Some(page) => page,
            None => read_page(self.number, index, read)?,
        };
        Ok(slot.insert(page).words())
    }
}

impl Drop for CachedFile {
    fn drop(&mut self) {
        self.pages.clear();
        evict_cache::trim();
    }
}

fn read_page(number: u32, index: u32, read: impl FnOnce(&mut PageWords)) -> Result<FilePage, FileError> {
    let mut page = NewPage::alloc().ok_or(FileError::NoPage)?;
    read(page.words_mut());
    loop {
        page = match file_pages::insert(number, index, page) {
            Ok(page) => return Ok(page),
            // Another thread has read it meanwhile. It may be evicted again before it is found: then this page is inserted.
            Err(NotInserted::Exists(page)) => match file_pages::find(number, index) {
                Some(page) => return Ok(page),
                None => page,
            },
            Err(NotInserted::Full(page)) if evict_cache::evict_unused(None).pages > 0 => page,
            Err(NotInserted::Full(_)) => return Err(FileError::CacheFull),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => write!(f, "no memory for the table of pages"),
            Self::NoPage => write!(f, "no memory for a page"),
            Self::CacheFull => write!(f, "as many pages are in use as can be cached"),
            Self::BeyondEnd { index, len_pages } => {
                write!(f, "page {index} is beyond the end; the file has {len_pages} pages")
            }
        }
    }
}
